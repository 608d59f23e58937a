//! One run of the program: from the words of the command line to its exit code.

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anstream::{AutoStream, ColorChoice};
use clap::Parser;
use clap::error::ErrorKind;
use session_store::index::Index;
use session_store::usage::PriceTable;
use store_core::{Backend, SessionId, StoreError};

use crate::agents::{AgentSpec, specs};
use crate::cli::{Cli, Global};
use crate::commands;
use crate::config::{Config, Environment, StoreUrl, store_url};
use crate::error::{CliError, DAMAGE_HINT, Report, Result, exit};
use crate::interrupt::Interrupt;
use crate::mistake;
use crate::output::{Output, Terminal};
use crate::refresh::{Follow, Refresh};
use crate::render::{Theme, clean};

/// What every command is given.
pub(crate) struct App {
    /// Options that every command takes.
    pub(crate) global: Global,
    /// What surrounds the program.
    pub(crate) environment: Environment,
    /// How it speaks.
    pub(crate) terminal: Terminal,
    /// Ctrl-C.
    pub(crate) interrupt: Interrupt,
    config: OnceCell<Config>,
    /// What agents wrote since is looked for once.
    refreshed: Cell<bool>,
    refresh: RefCell<Option<Refresh>>,
    /// A conversation whose facts cannot be read, and what reading them was refused with.
    unread_facts: RefCell<Option<(SessionId, String)>>,
}

/// Runs the program and answers with its exit code.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return tell_clap(&error, &arguments),
    };
    let global = cli.global.clone();
    let (outcome, theme) = match App::new(&cli.global) {
        Ok(app) => {
            let outcome = commands::run(&app, cli);
            if let Some(refresh) = app.refresh.take() {
                refresh.finish(&app);
            }
            let outcome = match outcome {
                Ok(code) => Ok(app.tell_unread_facts(code)),
                Err(error) => Err(app.advise(error.report(), &error)),
            };
            (outcome, app.terminal.error_theme)
        }
        Err(error) => (Err(Some(error.report())), Theme::default()),
    };
    match outcome {
        Ok(code) => code,
        Err(None) => exit::OK,
        Err(Some(report)) => tell(&report, global.json, &theme),
    }
}

/// Tells an error on standard error. If even that is closed, the exit code has to do.
fn tell(report: &Report, json: bool, theme: &Theme) -> u8 {
    drop(report.tell(&mut io::stderr().lock(), json, theme));
    report.code
}

/// Help and version are answers; everything else that clap says is a mistake of the caller.
fn tell_clap(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_answer {
        // A closed pipe is all that can go wrong here, and nothing is lost with it.
        drop(error.print());
        return exit::OK;
    }
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let theme = Theme::new(!matches!(AutoStream::choice(&io::stderr()), ColorChoice::Never));
    tell(&mistake::report(error, arguments), json, &theme)
}

impl App {
    fn new(global: &Global) -> Result<Self> {
        let environment = Environment::read()?;
        let terminal = Terminal::look(global, &environment);
        Ok(Self {
            global: global.clone(),
            environment,
            terminal,
            interrupt: Interrupt::install()?,
            config: OnceCell::new(),
            refreshed: Cell::new(false),
            refresh: RefCell::default(),
            unread_facts: RefCell::default(),
        })
    }

    /// Notes that what is said about a conversation cannot be read: whoever shows the rest of it says so at the end.
    pub(crate) fn note_unread_facts(&self, session: SessionId, error: &StoreError) {
        self.unread_facts.replace(Some((session, error.to_string())));
    }

    /// Says what of the answer is missing, and with which code that ends.
    fn tell_unread_facts(&self, code: u8) -> u8 {
        let Some((session, error)) = self.unread_facts.take().filter(|_| code == exit::OK) else { return code };
        let message =
            format!("what is said about the conversation (its title, where it goes on) cannot be read: {error}");
        let hint = format!("its entries are whole; `pod repair {session}` keeps all that can be read of the rest");
        if self.global.json {
            return tell(&Report::damage(message, &hint), true, &self.terminal.error_theme);
        }
        self.warn(&message);
        self.hint(&hint);
        exit::DAMAGE
    }

    /// What is told of an error, with what helps in this store; `None`: nothing.
    fn advise(&self, mut report: Report, error: &CliError) -> Option<Report> {
        if error.is_closed_pipe() {
            return None;
        }
        let of_database = self.store_url().is_ok_and(|store| store.url.trim_start().starts_with("sqlite:"));
        let hint = match (report.kind, self.unread_facts.take()) {
            ("corrupt", Some((session, _))) => {
                format!("nothing was changed; `pod repair {session} --dry-run` says what can be saved of what is said about the conversation")
            }
            ("corrupt", None) if report.message.contains("store.json: ") => {
                "the conversations beside it are as they were; `pod repair` writes it anew, `pod repair --dry-run` says so first".to_owned()
            }
            ("corrupt", None) if report.message.contains("malformed") && of_database => {
                "the database cannot be read by itself any more; `pod repair --into sqlite:NEW.db` saves all that it still holds into a new one".to_owned()
            }
            ("corrupt", None) if of_database => {
                let hint = report.hint.as_deref().unwrap_or(DAMAGE_HINT);
                format!("{hint}; what that cannot save, `pod repair --into sqlite:NEW.db` may")
            }
            ("not_a_store", _) if of_database => {
                "nothing was changed; name another place with --store, or, if this was a store: `pod repair --into sqlite:NEW.db` saves what it still holds".to_owned()
            }
            _ => return Some(report),
        };
        report.hint = Some(hint);
        Some(report)
    }

    /// Which store is meant.
    pub(crate) fn store_url(&self) -> Result<StoreUrl> {
        store_url(self.global.store.as_deref(), self.config()?, &self.environment)
    }

    /// What the config file says. It is read when somebody asks, so that help needs none.
    pub(crate) fn config(&self) -> Result<&Config> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(self.environment.config_file().as_deref())?;
        Ok(self.config.get_or_init(|| config))
    }

    /// Begins to bring in what agents wrote since, if nobody has yet.
    pub(crate) fn begin_refresh(
        &self,
        store: &Arc<dyn Backend>,
        index: &Index,
        follow: Follow,
    ) -> Result<Option<Refresh>> {
        if self.refreshed.replace(true) { Ok(None) } else { Refresh::start(self, store, index, follow) }
    }

    /// Keeps what is being brought in until the command is done.
    pub(crate) fn keep_refresh(&self, refresh: Refresh) {
        self.refresh.replace(Some(refresh));
    }

    /// The agents that are known, by name.
    pub(crate) fn agents(&self) -> Result<Vec<AgentSpec>> {
        specs(&self.config()?.agents).map_err(|detail| self.config_error(detail))
    }

    /// What models cost: the list that comes with the program, with what the config file says in place of it.
    pub(crate) fn prices(&self) -> Result<PriceTable> {
        // A test reads the list that is shipped.
        let mut prices =
            PriceTable::shipped().map_err(|error| App::usage(error.to_string(), "this is a mistake in pod"))?;
        let own = self.config()?.prices.iter();
        prices.replace_with(PriceTable::of(own.map(|(model, prices)| (model.clone(), prices.0.clone()))));
        Ok(prices)
    }

    /// The config file makes no sense.
    pub(crate) fn config_error(&self, detail: String) -> CliError {
        CliError::Config { path: self.environment.config_file().unwrap_or_default(), detail }
    }

    /// The folder the program was started in, as text.
    pub(crate) fn folder(&self) -> Option<&str> {
        self.environment.folder.as_deref().and_then(Path::to_str)
    }

    /// A path as the store has it: absolute, without `.` and `..`, as text.
    pub(crate) fn absolute(&self, path: &Path) -> Result<String> {
        let absolute =
            std::path::absolute(path).map_err(|source| CliError::Io { op: "find", path: path.to_owned(), source })?;
        // `components` leaves out what a path says twice: `/a//b/` and `/a/b` are one folder.
        let mut plain = PathBuf::new();
        for component in absolute.components() {
            match component {
                Component::ParentDir => {
                    // The folder above is that of where a symbolic link leads to.
                    if let Some(real) = plain.is_symlink().then(|| plain.canonicalize().ok()).flatten() {
                        plain = real;
                    }
                    plain.pop();
                }
                component => plain.push(component),
            }
        }
        Ok(plain.to_string_lossy().into_owned())
    }

    /// A path with the home folder as `~`.
    pub(crate) fn short_path(&self, path: &str) -> String {
        let below = self.environment.home.as_deref().and_then(|home| Path::new(path).strip_prefix(home).ok());
        match below {
            Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
            Some(below) => format!("~/{}", below.display()),
            None => path.to_owned(),
        }
    }

    /// Writes one JSON document to standard output.
    pub(crate) fn print_json<T: serde::Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let mut out = Output::json(&self.terminal);
        out.document(value)?;
        Ok(out.finish()?)
    }

    /// Standard output for people, paged where that makes sense.
    pub(crate) fn paged(&self) -> Output {
        Output::paged(&self.terminal, &self.interrupt)
    }

    /// Says something on standard error that is not part of the answer; never with `--json`.
    pub(crate) fn say(&self, text: &str) {
        if !self.global.json {
            let dim = self.terminal.error_theme.dim;
            drop(writeln!(io::stderr().lock(), "{dim}{}{dim:#}", clean(text)));
        }
    }

    /// Warns on standard error; never with `--json`.
    pub(crate) fn warn(&self, text: &str) {
        if !self.global.json {
            let warn = self.terminal.error_theme.warn;
            drop(writeln!(io::stderr().lock(), "{warn}warning:{warn:#} {}", clean(text)));
        }
    }

    /// Gives a hint on standard error; never with `--json`.
    pub(crate) fn hint(&self, text: &str) {
        if !self.global.json {
            let warn = self.terminal.error_theme.warn;
            drop(writeln!(io::stderr().lock(), "{warn}hint:{warn:#} {}", clean(text)));
        }
    }

    /// An error of the command line that clap cannot see.
    pub(crate) fn usage(message: impl Into<String>, hint: &str) -> CliError {
        CliError::Usage { message: message.into(), hint: Some(hint.to_owned()) }
    }
}
