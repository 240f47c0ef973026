//! Describes why a container ended, for a diagnosis.

use crate::control_plane::ControlPlane;
use crate::ending::is_plain;
use crate::look::ContainerLook;
use crate::shell::CommandLine;
use crate::utc::to_the_second;

/// The words of a container as evidence; none: it said nothing of its end, as one that was killed.
pub(super) fn last_words(container: &ContainerLook) -> Option<String> {
    let mut lines = container.last_lines.iter().rev();
    let plain = || lines.find(|line| is_plain(line)).map(String::as_str);
    let words = container.last_words.as_deref().or_else(plain)?;
    Some(format!("its last words: {words}"))
}

/// How a container ended, as evidence.
pub(super) fn ending(component: ControlPlane, container: &ContainerLook) -> String {
    let code = container.exit_code.unwrap_or_default();
    let mut text = format!("the last container of {component} ended with exit code {code}");
    if let Some(at) = container.finished_at {
        text.push_str(&format!(" at {}", to_the_second(at)));
    }
    match container.attempt {
        0 => {}
        1 => text.push_str("; it had been started again once"),
        times => text.push_str(&format!("; it had been started again {times} times")),
    }
    text
}

/// What shows a container's last words.
pub(super) fn logs_of(container: &ContainerLook) -> CommandLine {
    CommandLine::new("crictl logs --tail 50").operand(&container.id)
}
