//! Login methods that this client does not have: what each is, and what to do instead.

/// An account of the server for the migration, by statements of both families.
const OTHER_ACCOUNT: &str = "As an administrator of the source, create an account with a password for the migration: \
     `CREATE USER 'spanferry'@'%' IDENTIFIED WITH caching_sha2_password BY '…'` in MySQL, or \
     `CREATE USER 'spanferry'@'%' IDENTIFIED BY '…'` in MariaDB. Grant it what docs/guide.md lists.";

/// A way for accounts whose password an outer service checks.
const IN_CLEAR: &str = "and `enable-cleartext-plugin=true` in the source URL. Or use another account.";

/// A login method of a server.
struct LoginMethod {
    /// The client's half of it, as the server names it.
    plugin: &'static str,
    /// What it is.
    description: &'static str,
    /// What lets the same account in, if anything does.
    instead: Option<&'static str>,
}

const UNSUPPORTED: &[LoginMethod] = &[
    LoginMethod {
        plugin: "auth_gssapi_client",
        description: "GSSAPI, which is Kerberos",
        instead: None,
    },
    LoginMethod {
        plugin: "authentication_kerberos_client",
        description: "Kerberos",
        instead: None,
    },
    LoginMethod {
        plugin: "dialog",
        description: "PAM with questions",
        instead: Some("To keep the account, set `pam_use_cleartext_plugin=ON` in the server's configuration"),
    },
    LoginMethod {
        plugin: "authentication_ldap_sasl_client",
        description: "LDAP with SASL",
        instead: Some("To keep the account, let it use `authentication_ldap_simple` at the server"),
    },
    LoginMethod {
        plugin: "authentication_fido_client",
        description: "FIDO, which needs a person and a device",
        instead: None,
    },
    LoginMethod {
        plugin: "authentication_webauthn_client",
        description: "WebAuthn, which needs a person and a device",
        instead: None,
    },
    LoginMethod {
        plugin: "authentication_oci_client",
        description: "Oracle Cloud's IAM with a key",
        instead: None,
    },
    LoginMethod {
        plugin: "authentication_openid_connect_client",
        description: "OpenID Connect",
        instead: None,
    },
    LoginMethod {
        plugin: "authentication_windows_client",
        description: "Windows",
        instead: None,
    },
    LoginMethod {
        plugin: "mysql_old_password",
        description: "the login of MySQL before 4.1",
        instead: None,
    },
];

fn find(plugin: &str) -> Option<&'static LoginMethod> {
    UNSUPPORTED.iter().find(|method| method.plugin == plugin)
}

/// What the method is, in brackets; empty if it is not known.
pub(crate) fn description(plugin: &str) -> String {
    find(plugin).map_or_else(String::new, |method| format!(" ({})", method.description))
}

/// What lets the migration in.
pub(crate) fn hint(plugin: &str) -> String {
    match find(plugin).and_then(|method| method.instead) {
        Some(instead) => format!("{instead}, {IN_CLEAR} {OTHER_ACCOUNT}"),
        None => OTHER_ACCOUNT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_refused_with_a_way_out() {
        for method in UNSUPPORTED {
            let hint = hint(method.plugin);
            assert!(hint.contains("CREATE USER"), "{hint}");
            let keeps_account = hint.contains("enable-cleartext-plugin=true");
            assert_eq!(keeps_account, method.instead.is_some(), "{hint}");
            assert!(description(method.plugin).starts_with(" ("));
        }
        assert_eq!(description("other"), "");
        assert_eq!(hint("other"), OTHER_ACCOUNT);
    }
}
