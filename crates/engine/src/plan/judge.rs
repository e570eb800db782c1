//! Whether a start may begin: which findings stand in its way, and which stop single tables only.

use spanferry_core::report::acceptance::Accepted;
use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity};

use super::survey::Survey;

/// Whether a finding is blocking and was not accepted.
pub fn is_blocking(finding: &Finding, accepted: &[Accepted]) -> bool {
    let is_accepted = accepted.iter().any(|known| known.covers(finding));
    finding.severity == Severity::Blocking && !is_accepted
}

impl Survey {
    /// The blocking findings that were not accepted.
    pub fn blocking(&self) -> Vec<&Finding> {
        let findings = self.findings.iter();
        findings
            .filter(|finding| is_blocking(finding, &self.accepted))
            .collect()
    }

    /// The finding that refuses the start, if one does.
    ///
    /// On a resume only what concerns the servers as a whole stands in the way, and a selection
    /// that would stop a table: a table's own trouble stops its group. What the resume passes
    /// becomes a warning here.
    pub fn judge(&mut self) -> Option<Finding> {
        let resumes = self.planned.is_recorded();
        if resumes {
            lower(&mut self.findings);
        }
        let blocks: Vec<Finding> = self.blocking().into_iter().cloned().collect();
        let refuses = |finding: &Finding| {
            let is_of_start = finding.code == code::SELECTION_NARROWED;
            !resumes || is_of_start || finding.subject.table_name().is_none()
        };
        let (refusing, stopping): (Vec<Finding>, Vec<Finding>) = blocks.into_iter().partition(refuses);
        if resumes {
            self.planned.stop_blocked(&stopping);
        }
        refusing.into_iter().next()
    }
}

/// Makes warnings of the findings that a resume passes: what is marked as blocking must end the run
/// or stop a table.
fn lower(findings: &mut [Finding]) {
    let passing = findings.iter_mut().filter(|finding| passes_on_resume(finding));
    for finding in passing.filter(|finding| finding.severity == Severity::Blocking) {
        finding.severity = Severity::Warning;
    }
}

/// Whether a resume continues in spite of a finding that would stop a first start. Whether the
/// history is the known one is not shown by an empty log: the stream proves it when it opens, or
/// finds another one. Sessions that others have taken are waited for.
fn passes_on_resume(finding: &Finding) -> bool {
    [code::HISTORY_UNPROVED, code::SOURCE_SESSIONS_TAKEN].contains(&finding.code)
}

#[cfg(test)]
mod tests {
    use spanferry_core::report::finding::Subject;

    use super::*;

    #[test]
    fn what_a_resume_passes_is_not_marked_as_blocking() {
        let check = |code, severity, expected| {
            let mut findings = [Finding::new(code, severity, Subject::whole(), "found")];
            lower(&mut findings);
            assert_eq!(findings[0].severity, expected, "{code}");
        };
        use Severity::{Blocking, Notice, Warning};
        check(code::HISTORY_UNPROVED, Blocking, Warning);
        check(code::SOURCE_SESSIONS_TAKEN, Blocking, Warning);
        check(code::SOURCE_SESSIONS_TAKEN, Notice, Notice);
        check(code::SOURCE_SETTING, Blocking, Blocking);
        check(code::HISTORY_CHANGED, Blocking, Blocking);
    }
}
