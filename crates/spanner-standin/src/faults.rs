//! Faults: seeded probabilities and one-shot commands, by method.

use std::collections::{BTreeMap, VecDeque};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;

/// Most one-shot faults that wait for a method.
const QUEUE_MAX: usize = 10_000;
const COMMIT: &str = "Commit";
/// Applies to every method of the data service.
const ANY: &str = "*";

/// How an answer gets lost after the call was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// UNAVAILABLE instead.
    Unavailable,
    /// The connection ends.
    Drop,
    /// No answer until the client gives up.
    Silence,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Carried out after a delay.
    Latency(Duration),
    /// Not carried out, ABORTED, with RetryInfo if there is a delay.
    Aborted(Option<Duration>),
    /// Not carried out, UNAVAILABLE.
    Unavailable,
    /// Not carried out, RESOURCE_EXHAUSTED, with RetryInfo if there is a delay.
    Exhausted(Option<Duration>),
    /// Not carried out, the connection ends.
    Drop,
    /// Carried out; the answer gets lost.
    LostReply(Loss),
    /// Answered UNAVAILABLE now and carried out after this many further commits. Commits only.
    Late(u64),
    /// Carried out; a result of several parts ends with FAILED_PRECONDITION behind the first, as if
    /// the version that is read were not kept any more.
    VersionGone,
    /// Carried out now, and once more after this many further commits. Commits only.
    Duplicate(u64),
    /// Carried out; if it succeeded, answered ALREADY_EXISTS as a repeated insert is. Commits only.
    AlreadyExists,
    /// Not carried out, answered with a precommit token to come back with. Commits only.
    RetryToken,
}

/// A fault and how often it comes: `[METHOD.]KIND=PROBABILITY[:PARAMETER]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRate {
    /// Method of the data service, or `*`.
    pub method: String,
    /// What happens.
    pub fault: Fault,
    /// From 0 to 1.
    pub probability: f64,
}

/// A text that is no fault specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `[METHOD.]KIND=PROBABILITY[:PARAMETER]`, found `{0}`")]
pub struct MalformedFault(String);

impl FromStr for FaultRate {
    type Err = MalformedFault;

    fn from_str(text: &str) -> Result<FaultRate, MalformedFault> {
        parse(text).ok_or_else(|| MalformedFault(text.to_owned()))
    }
}

/// Parses a list of rates, separated by commas; the empty text has none.
pub fn parse_rates(text: &str) -> Result<Vec<FaultRate>, MalformedFault> {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| part.trim().parse())
        .collect()
}

fn parse(text: &str) -> Option<FaultRate> {
    let (name, value) = text.split_once('=')?;
    let (method, kind) = name.rsplit_once('.').unwrap_or((COMMIT, name));
    let (probability, parameter) = value.split_once(':').map_or((value, None), |(p, x)| (p, Some(x)));
    let probability = probability.parse().ok().filter(|p| (0.0..=1.0).contains(p))?;
    let delay = match parameter {
        Some(text) => text
            .strip_suffix("ms")
            .and_then(|ms| ms.parse().ok())
            .map(Duration::from_millis),
        None => None,
    };
    let count = match parameter {
        Some(text) => text.parse().ok(),
        None => Some(1),
    };
    let fault = match kind {
        "latency" => Fault::Latency(delay?),
        "aborted" => Fault::Aborted(delay),
        "unavailable" => Fault::Unavailable,
        "exhausted" => Fault::Exhausted(delay),
        "drop" => Fault::Drop,
        "lost" => Fault::LostReply(Loss::Unavailable),
        "lost-drop" => Fault::LostReply(Loss::Drop),
        "lost-silence" => Fault::LostReply(Loss::Silence),
        "late" => Fault::Late(count?),
        "duplicate" => Fault::Duplicate(count?),
        "version-gone" => Fault::VersionGone,
        "already-exists" => Fault::AlreadyExists,
        "retry-token" => Fault::RetryToken,
        _ => return None,
    };
    Some(FaultRate {
        method: method.to_owned(),
        fault,
        probability,
    })
}

/// Decides what goes wrong. Changed at run time; equal seeds and equal order of calls give equal
/// faults.
#[derive(Debug)]
pub struct Faults {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Rng,
    rates: Vec<FaultRate>,
    once: BTreeMap<String, VecDeque<Fault>>,
    injected: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64, rates: Vec<FaultRate>) -> Faults {
        let (random, once, injected) = (Rng::with_seed(seed), BTreeMap::new(), 0);
        Faults {
            state: Mutex::new(State {
                random,
                rates,
                once,
                injected,
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Replaces the probabilities.
    pub fn set_rates(&self, rates: Vec<FaultRate>) {
        self.state().rates = rates;
    }

    /// The next call of `method` (`Commit`, `StreamingRead`, `UpdateDatabaseDdl` …) suffers this;
    /// several commands come one after another.
    ///
    /// # Panics
    /// When 10,000 wait already.
    pub fn once(&self, method: &str, fault: Fault) {
        let mut state = self.state();
        let queue = state.once.entry(method.to_owned()).or_default();
        assert!(
            queue.len() < QUEUE_MAX,
            "too many one-shot faults wait for {method}"
        );
        queue.push_back(fault);
    }

    /// Faults injected so far.
    pub fn injected(&self) -> u64 {
        self.state().injected
    }

    /// Decides about one call of an admin service: only what was commanded for it.
    pub(crate) fn draw_once(&self, method: &str) -> Option<Fault> {
        let mut state = self.state();
        let fault = state.once.get_mut(method).and_then(VecDeque::pop_front);
        state.injected += u64::from(fault.is_some());
        fault
    }

    /// Decides about one call.
    pub(crate) fn draw(&self, method: &str) -> Option<Fault> {
        let mut state = self.state();
        let mut fault = state.once.get_mut(method).and_then(VecDeque::pop_front);
        if fault.is_none() {
            let State { random, rates, .. } = &mut *state;
            for rate in rates
                .iter()
                .filter(|rate| rate.method == ANY || rate.method == method)
            {
                let applies = method == COMMIT || !rate.fault.is_for_commits();
                if applies && random.f64() < rate.probability {
                    fault = Some(rate.fault);
                    break;
                }
            }
        }
        state.injected += u64::from(fault.is_some());
        fault
    }
}

impl Fault {
    fn is_for_commits(self) -> bool {
        match self {
            Fault::Late(_) | Fault::Duplicate(_) | Fault::AlreadyExists | Fault::RetryToken => true,
            Fault::Latency(_)
            | Fault::Aborted(_)
            | Fault::Unavailable
            | Fault::Exhausted(_)
            | Fault::Drop
            | Fault::LostReply(_)
            | Fault::VersionGone => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications() {
        let rates = parse_rates("aborted=0.5:10ms, *.latency=1:2ms,late=0.1:3").unwrap();
        assert_eq!(rates[0].fault, Fault::Aborted(Some(Duration::from_millis(10))));
        assert_eq!((rates[1].method.as_str(), rates[2].fault), (ANY, Fault::Late(3)));
        for text in ["x=1", "aborted", "aborted=2", "latency=1"] {
            assert!(parse_rates(text).is_err(), "{text}");
        }
    }
}
