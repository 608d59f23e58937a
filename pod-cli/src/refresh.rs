//! What agents wrote since: brought in while a command begins, so that what it shows is what there is.
//!
//! A thread with a handle of its own on the index looks which files of the store's sources changed and imports them. A command that reads waits for it,
//! but not longer than [`BUDGET`], and then does its work with what is there; the thread goes on behind it. When the command is done it
//! is done: what is not in by then is said, and taken up by the next command, because it is remembered after every few files what was seen. The price is that
//! one very large new file takes a command that waits for it, `pod import`.
//!
//! Nothing here is ever a reason for a command to fail: a store that cannot be written to, one that others keep busy, and a broken
//! file are said, and that is all.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use session_store::import::{ImportReport, ImportStatus, Importer, sources};
use session_store::index::Index;
use store_core::Backend;

use crate::app::App;
use crate::config::Environment;
use crate::error::Result;
use crate::render::one_line;

/// How long a command waits for what is new before it shows anything.
const BUDGET: Duration = Duration::from_millis(200);
/// How long a command that is done waits for the file that is being read.
const GRACE: Duration = Duration::from_millis(50);
/// How many files that failed are named.
const NAMED_MAX: usize = 3;
/// How often a thread that waits looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait before files are looked at again.
///
/// Looking costs a call for each file, which is nothing for a hundred of them and something for ten thousand. So what is waited follows from what
/// looking took, and from how long nothing has happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    wait: Duration,
}

impl BackOff {
    const SHORTEST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(2);
    /// Looking takes at most this part of the time.
    const SHARE: u32 = 20;

    /// Before anything was looked at.
    pub(crate) const fn new() -> Self {
        Self { wait: Self::SHORTEST }
    }

    /// How long to wait after a look that took so long, and found something or not.
    pub(crate) fn next(&mut self, took: Duration, found: bool) -> Duration {
        self.wait = if found { Self::SHORTEST } else { (self.wait * 2).min(Self::LONGEST) };
        self.wait.max(took * Self::SHARE)
    }
}

/// How far it is.
enum Told {
    /// So many files have changed.
    Found(usize),
    /// A few are in; how many are left.
    Came(ImportReport, usize),
    /// It cannot go on, in words.
    Failed(String),
}

/// Whether the thread goes on to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// It looks once.
    No,
    /// It looks again and again.
    Yes,
}

/// What is being brought in.
pub(crate) struct Refresh {
    stop: Arc<AtomicBool>,
    told: Receiver<Told>,
    /// How many changed files are not in yet; `None`: nobody knows yet.
    left: Option<usize>,
    ended: bool,
    failed: Vec<(String, String)>,
    trouble: Option<String>,
}

impl Refresh {
    /// Begins to bring in what changed; `None` if there is nothing that could change, or nowhere to bring it. The index was refreshed before.
    pub(crate) fn start(app: &App, store: &Arc<dyn Backend>, index: &Index, follow: Follow) -> Result<Option<Self>> {
        if app.global.no_refresh || !app.config()?.refresh.unwrap_or(true) {
            return Ok(None);
        }
        let folders = match sources(&**store) {
            Ok(folders) if !folders.is_empty() => folders,
            // A store whose facts cannot be read says so where they are asked for.
            _ => return Ok(None),
        };
        if store.info().read_only {
            app.say("what agents wrote since is not brought in: the store can only be read here");
            return Ok(None);
        }
        // Without a file nothing that was seen is remembered.
        let Some(index) = index.second_handle() else { return Ok(None) };
        let (tell, told) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            store: Arc::clone(store),
            index,
            folders,
            stop: Arc::clone(&stop),
            environment: app.environment.clone(),
            tell,
        };
        thread::spawn(move || work.run(follow));
        Ok(Some(Self { stop, told, left: None, ended: false, failed: Vec::new(), trouble: None }))
    }

    /// Waits until all is in, but not for long.
    pub(crate) fn wait(&mut self) {
        self.listen(BUDGET);
    }

    /// Takes what has been told by now; answers whether anything new is in the store.
    pub(crate) fn news(&mut self) -> bool {
        self.listen(Duration::ZERO)
    }

    /// No file is begun any more.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn listen(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut news = false;
        while !self.ended {
            match self.told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(told) => news |= self.take(told),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.ended = true,
            }
        }
        news
    }

    fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Found(files) => {
                self.left = Some(files);
                false
            }
            Told::Came(report, left) => {
                self.left = Some(left);
                let news = report.imported + report.updated > 0;
                let failed = report.sessions.into_iter().filter(|file| file.status == ImportStatus::Failed);
                self.failed.extend(failed.map(|file| (file.source, file.error.unwrap_or_default())));
                news
            }
            Told::Failed(why) => {
                self.trouble = Some(why);
                false
            }
        }
    }

    /// Ends it, and says what came of it, as far as a person should know.
    pub(crate) fn finish(mut self, app: &App) {
        self.stop();
        self.listen(GRACE);
        for (source, why) in self.failed.iter().take(NAMED_MAX) {
            app.warn(&format!("{} was not brought in: {}", app.short_path(&one_line(source)), one_line(why)));
        }
        match self.failed.len().saturating_sub(NAMED_MAX) {
            0 => {}
            more => app.warn(&format!("{more} more files were not brought in; `pod import` names them")),
        }
        if let Some(why) = &self.trouble {
            app.say(&format!("what agents wrote since is not brought in: {}", one_line(why)));
        } else if !self.ended && self.left.is_none() {
            app.say("it takes a while to look for what agents wrote since; `pod import` waits for it");
        } else if let Some(left) = self.left.filter(|left| *left > 0) {
            let files = if left == 1 { "1 file".to_owned() } else { format!("{left} files") };
            app.say(&format!(
                "{files} of agents are not brought in yet: the next command goes on, `pod import` waits for them"
            ));
        }
    }
}

impl Drop for Refresh {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread has.
struct Work {
    store: Arc<dyn Backend>,
    index: Index,
    folders: Vec<PathBuf>,
    stop: Arc<AtomicBool>,
    environment: Environment,
    tell: Sender<Told>,
}

impl Work {
    fn run(self, follow: Follow) {
        let mut back_off = BackOff::new();
        loop {
            let begun = Instant::now();
            let found = match self.look() {
                Ok(found) => found,
                Err(error) => return self.say(Told::Failed(error.to_string())),
            };
            if follow == Follow::No {
                return;
            }
            let until = Instant::now() + back_off.next(begun.elapsed(), found);
            while Instant::now() < until {
                if self.go_on().is_break() {
                    return;
                }
                thread::sleep(LOOK);
            }
        }
    }

    /// Brings in what changed; answers whether anything did.
    fn look(&self) -> session_store::Result<bool> {
        let importer = Importer { store: &*self.store, index: &self.index, now: self.environment.clock() };
        let changed = importer.changed_files(&self.folders)?;
        let found = !changed.is_empty();
        self.say(Told::Found(changed.len()));
        importer.bring_in(changed, None, &|| self.go_on(), &mut |report, left| self.say(Told::Came(report, left)))?;
        Ok(found)
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.stop.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn say(&self, told: Told) {
        // A command that is done does not listen any more.
        drop(self.tell.send(told));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_nothing_looks_less_often_and_who_finds_something_at_once() {
        let mut back_off = BackOff::new();
        let quick = Duration::from_millis(1);
        let waits: Vec<u128> = (0..5).map(|_| back_off.next(quick, false).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 2000, 2000]);
        assert_eq!(back_off.next(quick, true).as_millis(), 250);
        assert_eq!(
            back_off.next(Duration::from_millis(300), false).as_millis(),
            6000,
            "looking is never all that is done"
        );
    }
}
