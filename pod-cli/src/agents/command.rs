//! The command line of an agent: a template of the config file, and what is put into it.
//!
//! Pure, and no shell ever sees it: each word of a template becomes one argument, whatever is put into it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::spec::AgentSpec;

/// The words of a command, with places to be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<String>);

/// What stands for something else in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Program,
    NativeId,
    File,
    Cwd,
    Prompt,
}

impl Place {
    const ALL: [(&str, Self); 5] = [
        ("{program}", Self::Program),
        ("{native_id}", Self::NativeId),
        ("{file}", Self::File),
        ("{cwd}", Self::Cwd),
        ("{prompt}", Self::Prompt),
    ];
}

/// A piece of a word.
enum Piece<'a> {
    Text(&'a str),
    Place(&'static str, Place),
}

impl Template {
    /// A template of these words.
    ///
    /// # Errors
    /// In words: no words at all, or a place that there is none of.
    pub(crate) fn new(words: Vec<String>) -> Result<Self, String> {
        if words.first().is_none_or(String::is_empty) {
            return Err("a command has at least one word, its program".to_owned());
        }
        for word in &words {
            pieces(word)?;
        }
        Ok(Self(words))
    }

    /// The words, as they stand in the config file.
    pub(crate) fn words(&self) -> &[String] {
        &self.0
    }
}

/// A word cut at its places: `{name}`, with small letters and underscores. Other braces are what they are.
fn pieces(word: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = word;
    while let Some((text, place, behind)) = next_place(rest) {
        let known = Place::ALL.into_iter().find(|(name, _)| *name == place);
        let Some((name, known)) = known else {
            let names = Place::ALL.map(|(name, _)| name).join(", ");
            return Err(format!("there is no {place}; there are {names}"));
        };
        pieces.extend([Piece::Text(text), Piece::Place(name, known)]);
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// The text before the next place, the place with its braces, and the text behind it.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    text.match_indices('{').find_map(|(open, _)| {
        let close = open + text[open..].find('}')?;
        is_name(&text[open + 1..close]).then(|| (&text[..open], &text[open..=close], &text[close + 1..]))
    })
}

/// What an agent is to go on with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The agent's own id of the conversation.
    pub(crate) native_id: Option<&'a str>,
    /// The agent's file of it.
    pub(crate) file: Option<&'a Path>,
    /// The conversation's folder, in which the agent is started.
    pub(crate) cwd: Option<&'a Path>,
    /// What is said first.
    pub(crate) prompt: Option<&'a str>,
}

/// A command, ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentCommand {
    /// The program, as the config file has it.
    pub(crate) program: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// The variables that are set for it.
    pub(crate) env: BTreeMap<String, String>,
    /// The folder that it is started in; `None`: where its caller is.
    pub(crate) folder: Option<PathBuf>,
}

/// Why there is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoCommand {
    /// The config file has no command of this kind for the agent.
    NotConfigured { key: &'static str },
    /// The command needs something that is not known.
    Unknown { place: &'static str },
}

impl AgentSpec {
    /// The command that goes on with a conversation.
    pub(crate) fn resume_command(&self, wanted: &Wanted<'_>) -> Result<AgentCommand, NoCommand> {
        self.fill("resume", self.resume.as_ref(), wanted)
    }

    /// The command that begins a conversation.
    pub(crate) fn new_command(&self, wanted: &Wanted<'_>) -> Result<AgentCommand, NoCommand> {
        self.fill("new", self.new.as_ref(), wanted)
    }

    /// The command that prints the agent's version.
    pub(crate) fn version_command(&self) -> Result<AgentCommand, NoCommand> {
        self.fill("version", self.version.as_ref(), &Wanted::default())
    }

    fn fill(
        &self,
        key: &'static str,
        template: Option<&Template>,
        wanted: &Wanted<'_>,
    ) -> Result<AgentCommand, NoCommand> {
        let template = template.ok_or(NoCommand::NotConfigured { key })?;
        let mut words = Vec::with_capacity(template.words().len());
        for word in template.words() {
            words.extend(self.fill_word(word, wanted)?);
        }
        let mut words = words.into_iter();
        let program = words.next().ok_or(NoCommand::NotConfigured { key })?;
        let folder = wanted.cwd.map(Path::to_owned);
        Ok(AgentCommand { program, arguments: words.collect(), env: self.env.clone(), folder })
    }

    /// A word with everything put in; `None` for one that says a prompt where there is none.
    fn fill_word(&self, word: &str, wanted: &Wanted<'_>) -> Result<Option<String>, NoCommand> {
        let mut filled = String::new();
        // A template was checked when it was made.
        for piece in pieces(word).unwrap_or_default() {
            let (name, place) = match piece {
                Piece::Text(text) => {
                    filled.push_str(text);
                    continue;
                }
                Piece::Place(name, place) => (name, place),
            };
            let text = match place {
                Place::Program => self.program.clone(),
                Place::NativeId => wanted.native_id.map(str::to_owned),
                Place::File => wanted.file.map(|path| path.display().to_string()),
                Place::Cwd => wanted.cwd.map(|path| path.display().to_string()),
                Place::Prompt => match wanted.prompt {
                    None => return Ok(None),
                    // No agent takes a word that begins with a space for an option, and no model minds the space.
                    Some(prompt) if prompt.starts_with('-') && filled.is_empty() => Some(format!(" {prompt}")),
                    Some(prompt) => Some(prompt.to_owned()),
                },
            };
            filled.push_str(&text.ok_or(NoCommand::Unknown { place: name })?);
        }
        Ok(Some(filled))
    }
}

impl fmt::Display for AgentCommand {
    /// As a line for a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(folder) = &self.folder {
            write!(f, "cd {} && ", quoted(&folder.display().to_string()))?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str(&quoted(&self.program))?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

/// A word as a shell has to be given it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::specs;

    fn preset(name: &str) -> AgentSpec {
        specs(&BTreeMap::new()).unwrap().into_iter().find(|spec| spec.name == name).unwrap()
    }

    fn template(words: &[&str]) -> Result<Template, String> {
        Template::new(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn each_agent_goes_on_with_a_conversation_in_its_folder() {
        let wanted =
            Wanted { native_id: Some("019c-1"), cwd: Some(Path::new("/home/dev/my app")), ..Wanted::default() };
        let line = |name| preset(name).resume_command(&wanted).unwrap().to_string();
        assert_eq!(line("claude"), "cd '/home/dev/my app' && claude --resume 019c-1");
        assert_eq!(line("codex"), "cd '/home/dev/my app' && codex resume 019c-1");
        assert_eq!(line("pi"), "cd '/home/dev/my app' && pi --session 019c-1");
        assert_eq!(preset("pi").new_command(&Wanted::default()).unwrap().to_string(), "pi");
    }

    #[test]
    fn a_prompt_is_one_argument_and_never_an_option() {
        let wanted = |prompt| Wanted { native_id: Some("id"), prompt: Some(prompt), ..Wanted::default() };
        let command = |prompt| preset("codex").resume_command(&wanted(prompt)).unwrap();
        assert_eq!(command("go on; $(rm -rf /)").arguments, ["resume", "id", "go on; $(rm -rf /)"]);
        assert_eq!(command("--yolo").arguments, ["resume", "id", " --yolo"]);
        assert_eq!(command("it's").to_string(), "codex resume id 'it'\\''s'");
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        let wanted = Wanted { native_id: Some("{prompt}"), ..Wanted::default() };
        assert_eq!(preset("codex").resume_command(&wanted).unwrap().arguments, ["resume", "{prompt}"]);
    }

    #[test]
    fn a_command_that_needs_what_nobody_knows_is_none() {
        let spec = preset("claude");
        assert_eq!(spec.resume_command(&Wanted::default()), Err(NoCommand::Unknown { place: "{native_id}" }));
        let silent = AgentSpec { resume: None, ..spec };
        let none = silent.resume_command(&Wanted { native_id: Some("id"), ..Wanted::default() });
        assert_eq!(none, Err(NoCommand::NotConfigured { key: "resume" }));
    }

    #[test]
    fn variables_are_set_and_files_are_named() {
        let spec = AgentSpec {
            resume: Some(template(&["{program}", "--file={file}", "{\"a\":1}"]).unwrap()),
            env: BTreeMap::from([("CODEX_HOME".to_owned(), "/x y".to_owned())]),
            ..preset("codex")
        };
        let wanted = Wanted { file: Some(Path::new("/tmp/a.jsonl")), ..Wanted::default() };
        let line = spec.resume_command(&wanted).unwrap().to_string();
        assert_eq!(line, "CODEX_HOME='/x y' codex --file=/tmp/a.jsonl '{\"a\":1}'");
    }

    #[test]
    fn a_template_with_an_unknown_place_is_refused() {
        assert!(template(&["x", "a{id}b"]).unwrap_err().starts_with("there is no {id}; there are {program}"));
        assert!(template(&[]).is_err() && template(&["", "x"]).is_err());
        assert!(template(&["x", "{", "}", "{}", "{A}", "{a b}"]).is_ok(), "other braces are what they are");
    }
}
