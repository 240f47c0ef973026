//! How a change of a flag becomes steps of one word each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::place::refused;
use super::spot::Spot;
use super::step::Step;
use super::{Component, FlagName, FlagValue};
use crate::failure::Failure;
use crate::flags::{GivenFlag, Written, is_true, variable_of};

/// Something that an edit found and left, or had to do besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Note {
    /// The flag is given further times, before the one that counts. They stay, and mean nothing to etcd.
    WithoutEffect {
        /// Which flag.
        flag: FlagName,
        /// The values it is given there.
        values: Vec<String>,
    },
    /// The flag was given more than once; all of them are gone.
    AllRemoved {
        /// Which flag.
        flag: FlagName,
        /// The values it had.
        values: Vec<String>,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutEffect { flag, values } => write!(
                f,
                "--{flag} is given more than once; the last one counts, and {} before it stays without effect",
                values.join(", ")
            ),
            Self::AllRemoved { flag, values } => {
                write!(
                    f,
                    "--{flag} was given more than once: {}; all are gone",
                    values.join(", ")
                )
            }
        }
    }
}

/// What gives a flag a value.
pub(super) fn set_flag(
    component: &Component,
    flag: &FlagName,
    value: Option<&FlagValue>,
) -> Result<(Vec<Step>, Vec<Note>), Failure> {
    let given = given(component, flag)?;
    let found: Vec<&GivenFlag> = of(&given, flag);
    not_in_environment(component, flag)?;
    let mut notes = Vec::new();
    let Some((last, earlier)) = found.split_last() else {
        let word = word(flag, value);
        let spot = place_for(component, flag, &given)?;
        return Ok((vec![Step::Insert { spot, word }], notes));
    };
    if !earlier.is_empty() {
        // The last one counts for Go's `flag`, with which etcd reads its line. Other programs add lists and maps up.
        if !component.is("etcd") {
            let message = format!("--{flag} is given {} times", found.len());
            return Err(refused(
                message,
                format!("write --{flag} once in the manifest"),
            ));
        }
        notes.push(Note::WithoutEffect {
            flag: flag.clone(),
            values: values(earlier),
        });
    }
    Ok((change(component, last, value), notes))
}

/// What gives the flag this value, as it is written.
fn change(component: &Component, given: &GivenFlag, value: Option<&FlagValue>) -> Vec<Step> {
    let value = match value {
        // A switch that is on in other words is on.
        None if is_true(&given.value) => return Vec::new(),
        None => "true",
        Some(value) if value.as_str() == given.value => return Vec::new(),
        Some(value) => value.as_str(),
    };
    let spot = |at| Spot::of(component, at);
    let words = component.words();
    let word = words.get(given.at).map_or("", String::as_str);
    let flag = word.split_once('=').map_or(word, |(flag, _)| flag);
    let joined = Step::Replace {
        spot: spot(given.at),
        word: format!("{flag}={value}"),
    };
    match given.written {
        Written::Joined | Written::Bare => vec![joined],
        // As a word of its own it would be a flag.
        Written::NextWord if value.starts_with('-') => {
            let behind = spot(given.at + 1);
            vec![Step::Remove { spot: behind }, joined]
        }
        Written::NextWord => vec![Step::Replace {
            spot: spot(given.at + 1),
            word: value.to_owned(),
        }],
    }
}

/// What takes a flag away.
pub(super) fn unset_flag(
    component: &Component,
    flag: &FlagName,
) -> Result<(Vec<Step>, Vec<Note>), Failure> {
    let given = given(component, flag)?;
    if let Some((variable, _)) = variable(component, flag) {
        return Err(refused(
            format!("the environment gives --{flag} as well: {variable}"),
            format!("remove {variable} from the container's `env`"),
        ));
    }
    let found = of(&given, flag);
    let words = found.iter().flat_map(|flag| match flag.written {
        Written::NextWord => flag.at..=flag.at + 1,
        Written::Joined | Written::Bare => flag.at..=flag.at,
    });
    let mut steps: Vec<Step> = words
        .map(|at| Step::Remove {
            spot: Spot::of(component, at),
        })
        .collect();
    // From the end, so that places stay what they are.
    steps.reverse();
    let notes = match found.len() {
        0 | 1 => Vec::new(),
        _ => vec![Note::AllRemoved {
            flag: flag.clone(),
            values: values(&found),
        }],
    };
    Ok((steps, notes))
}

/// The flags of a command line on which this one can be changed and has an effect.
fn given(component: &Component, flag: &FlagName) -> Result<Vec<GivenFlag>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        refused(
            error.to_string(),
            "write the program and its flags as words of `command`",
        )
    };
    let given = component.given().map_err(|error| unreadable(&error))?;
    let expanded = component
        .given_expanded()
        .map_err(|error| unreadable(&error))?;
    let places = |given: &[GivenFlag]| -> Vec<_> {
        of(given, flag)
            .iter()
            .map(|flag| (flag.at, flag.written))
            .collect()
    };
    if places(&given) != places(&expanded) {
        let message = format!("a variable of the environment decides whether --{flag} is given");
        return Err(refused(
            message,
            "write it in the command line itself, without `$(…)`",
        ));
    }
    let program = component.words_before_flags();
    if component
        .words()
        .iter()
        .skip(program)
        .any(|word| word == "--")
    {
        return Err(refused(
            "the command line has a word `--`, behind which nothing is a flag",
            "remove the word `--`",
        ));
    }
    if component.is("etcd") && flag.as_str() != "config-file" {
        let flags = component.flags().map_err(|error| unreadable(&error))?;
        if let Some(file) = flags.get("config-file") {
            return Err(refused(
                format!("etcd ignores its flags: its configuration is the file {file}"),
                "change it there; RKE2 and k3s write it anew at each start, from `etcd-arg` in their own configuration",
            ));
        }
    }
    Ok(given)
}

fn of<'g>(given: &'g [GivenFlag], flag: &FlagName) -> Vec<&'g GivenFlag> {
    given
        .iter()
        .filter(|one| one.name == flag.as_str())
        .collect()
}

fn values(given: &[&GivenFlag]) -> Vec<String> {
    given.iter().map(|flag| flag.value.clone()).collect()
}

fn word(flag: &FlagName, value: Option<&FlagValue>) -> String {
    match value {
        Some(value) => format!("--{flag}={}", value.as_str()),
        None => format!("--{flag}"),
    }
}

/// etcd's variable for the flag, if the manifest sets it.
fn variable(component: &Component, flag: &FlagName) -> Option<(String, String)> {
    let flags = component.flags().ok().filter(|_| component.is("etcd"))?;
    flags.variable(flag.as_str())
}

/// etcd ends at once when a flag is given that its environment gives as well, whatever the values
/// (`pkg/flags`: "conflicting environment variable is shadowed").
fn not_in_environment(component: &Component, flag: &FlagName) -> Result<(), Failure> {
    if !component.is("etcd") {
        return Ok(());
    }
    let variable = variable_of(flag.as_str());
    let mut env = component.env().iter();
    match env.find(|(name, _)| *name == variable) {
        None => Ok(()),
        Some((_, value)) => Err(refused(
            format!(
                "the environment gives --{flag} already, {variable}={value}: etcd does not start when both are given"
            ),
            format!("change {variable} in the container's `env`, or remove it there"),
        )),
    }
}

/// Where a flag that is not given belongs: behind the others, or between them if they are in the order of their names.
fn place_for(component: &Component, flag: &FlagName, given: &[GivenFlag]) -> Result<Spot, Failure> {
    let last = given.last().map(|last| match last.written {
        Written::NextWord => last.at + 1,
        Written::Joined | Written::Bare => last.at,
    });
    let Some(last) = last.or_else(|| component.words().len().checked_sub(1)) else {
        return Err(refused(
            "the container has neither `command` nor `args`: what its image runs is not known here",
            "write the program and its flags as words of `command`",
        ));
    };
    let list = Spot::of(component, last).list;
    let beside: Vec<(&str, Spot)> = given
        .iter()
        .map(|one| (one.name.as_str(), Spot::of(component, one.at)))
        .filter(|(_, spot)| spot.list == list)
        .collect();
    let next = beside
        .iter()
        .find(|(name, spot)| *name > flag.as_str() && spot.index > 0)
        .filter(|_| beside.is_sorted_by_key(|(name, _)| *name));
    let index = next.map_or(list.words(component).len(), |(_, spot)| spot.index);
    Ok(Spot { list, index })
}
