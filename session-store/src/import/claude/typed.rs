//! What a person typed, and what the program put in under the person's name.

/// What a text begins with that nobody typed. `<bash-input>` was typed.
const PUT_IN: [&str; 9] = [
    "<local-command-",
    "<command-name>",
    "<command-message>",
    "<bash-stdout>",
    "<bash-stderr>",
    "<system-reminder>",
    "<task-notification>",
    "<teammate-message",
    INTERRUPTED,
];

const INTERRUPTED: &str = "[Request interrupted by user";

/// Whether the program put in a user's text.
pub(super) fn is_put_in(text: &str) -> bool {
    let text = text.trim_start();
    PUT_IN.iter().any(|beginning| text.starts_with(beginning))
}

/// Whether a user's text says that the person interrupted.
pub(super) fn is_interruption(text: &str) -> bool {
    text.trim_start().starts_with(INTERRUPTED)
}
