//! A user of a Redis, given by a line as in an ACL file.

use anyhow::bail;

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
    /// The line of the configuration.
    pub(super) acl_line: String,
}

impl User {
    pub(super) fn parse(line: &str) -> anyhow::Result<Self> {
        let rules = line.trim();
        let rules = rules.strip_prefix("user ").unwrap_or(rules);
        let name = rules.split_whitespace().next();
        let password = rules.split_whitespace().find_map(|word| word.strip_prefix('>'));
        let (Some(name), Some(password)) = (name, password) else {
            bail!("an acl line needs a name and a `>password`: `{line}`");
        };
        Ok(Self {
            name: name.to_owned(),
            password: password.to_owned(),
            acl_line: format!("user {rules}"),
        })
    }
}
