//! etcd's settings in the environment of its container: `ETCD_` and the flag's name.

use super::is_known;
use crate::manifest::Component;

/// What the names of etcd's variables begin with.
const PREFIX: &str = "ETCD_";

/// A variable that is no flag's: etcd starts on a machine of this kind although it is not tried there.
const NO_FLAG: &str = "ETCD_UNSUPPORTED_ARCH";

/// A variable in the environment of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The flag that it gives a value.
    pub flag: String,
    /// The value.
    pub value: String,
    /// What etcd does with it.
    pub effect: Effect,
}

/// What etcd does with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is the flag's value.
    Sets,
    /// Nothing: no etcd that is known here has the flag.
    Ignored,
    /// The flag is given as well, and etcd ends at once (`pkg/flags`, "conflicting environment variable").
    Conflicts,
}

impl Component {
    /// etcd's variables, in the order in which they are given; of one that is given twice the last, as for kubelet. None where
    /// its configuration is a file: etcd reads no other then.
    pub fn variables(&self) -> Vec<Variable> {
        let Some(flags) = self.flags().ok().filter(|_| self.is("etcd")) else {
            return Vec::new();
        };
        if flags.get("config-file").is_some() {
            return Vec::new();
        }
        let given = self.given_expanded().unwrap_or_default();
        let env = self.env();
        let last = |at: usize, name: &str| !env.iter().skip(at + 1).any(|(other, _)| other == name);
        let all = env.iter().enumerate();
        all.filter(|(at, (name, _))| last(*at, name) && name != NO_FLAG)
            .filter_map(|(_, (name, value))| {
                let flag = name.strip_prefix(PREFIX)?.to_lowercase().replace('_', "-");
                let effect = match given.iter().any(|one| one.name == flag) {
                    true => Effect::Conflicts,
                    // etcd takes an empty variable as not set.
                    false if value.is_empty() => return None,
                    false if is_known(&flag) => Effect::Sets,
                    false => Effect::Ignored,
                };
                Some(Variable {
                    name: name.clone(),
                    flag,
                    value: value.clone(),
                    effect,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn variables(container: &str) -> Vec<(String, String, Effect)> {
        let text = format!("kind: Pod\nspec: {{containers: [{container}]}}\n");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let component = manifest.components().remove(0);
        let variables = component.variables().into_iter();
        variables
            .map(|one| (one.flag, one.value, one.effect))
            .collect()
    }

    #[test]
    fn an_etcd_that_is_configured_by_its_environment_shows_its_settings() {
        let env = "{name: ETCD_NAME, value: old}, {name: PATH, value: /bin}, {name: ETCD_DATA_DIR, value: /d}, \
                   {name: ETCD_UNSUPPORTED_ARCH, value: arm64}, {name: ETCD_NAME, value: cp-1}, {name: ETCD_METRICS}, \
                   {name: ETCD_QOUTA, value: '1'}, {name: ETCD_MAX_WALS, value: '5'}";
        let found = variables(&format!(
            "{{name: etcd, command: [etcd, --max-wals=7], env: [{env}]}}"
        ));
        let one = |flag: &str, value: &str, effect| (flag.to_owned(), value.to_owned(), effect);
        assert_eq!(
            found,
            [
                one("data-dir", "/d", Effect::Sets),
                one("name", "cp-1", Effect::Sets),
                one("qouta", "1", Effect::Ignored),
                one("max-wals", "5", Effect::Conflicts),
            ]
        );
    }

    #[test]
    fn a_file_or_another_program_takes_nothing_from_there() {
        let env = "env: [{name: ETCD_NAME, value: a}]";
        for container in [
            "name: etcd, command: [etcd, --config-file=/c]",
            "name: other, command: [other]",
        ] {
            assert_eq!(variables(&format!("{{{container}, {env}}}")), []);
        }
    }
}
