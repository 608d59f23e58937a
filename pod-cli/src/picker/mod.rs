//! The picker on a terminal: keys go into the model, what the model says is drawn, and what it asks for is done in another thread.
//!
//! It draws on standard error, or on the terminal itself where that is somewhere else, so that `id=$(pod pick)` gets the id alone.
//! What a key does is decided in `session_store::picker`; nothing here knows it.
//!
//! * `screen` takes the terminal over and gives it back, however the program ends.
//! * `draw` is a function of the model and a size.
//! * `worker` is the thread that has the store.
//! * `scope` finds the repository around a folder, with its worktrees.

mod draw;
mod keys;
mod scope;
mod screen;
mod worker;

use std::sync::mpsc::Receiver;
use std::time::Duration;

use ratatui::crossterm::event;
use session_store::index::{ArchivedFilter, KindFilter, ListQuery};
use session_store::picker::{Action, Choice, Event, Picker, PickerRow, Scope};

use self::draw::{Preview, Screenful};
use self::screen::Screen;
use self::worker::{News, Worker};
use crate::app::App;
use crate::error::Result;
use crate::library::Library;
use crate::refresh::Follow;
use crate::render::parse_since;

/// How many conversations are there at once; the rest comes while the first are looked at.
const FIRST_ROWS: usize = 200;
/// How long a key may take to be seen while nothing else happens.
const TICK: Duration = Duration::from_millis(25);

/// How the picker begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct PickOptions {
    /// What is typed already.
    pub(crate) query: String,
    /// At most so many lines of the terminal, below what stands there; `None`: all of it.
    pub(crate) height: Option<u16>,
    /// Take the only conversation that matches without asking.
    pub(crate) select_one: bool,
    /// Leave if none matches.
    pub(crate) exit_empty: bool,
    /// There is a terminal to draw on.
    pub(crate) may_draw: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Picked {
    /// With this place.
    Place(Choice),
    /// A place was picked to go on from in a branch of its own.
    Fork(Choice),
    /// A place was picked to be watched.
    Watch(Choice),
    /// A damaged conversation was picked to be repaired.
    Repair(Choice),
    /// There is nothing to draw on, and more than one that matches, or none.
    Undrawn,
    /// Without a choice.
    Nothing,
    /// By Ctrl-C.
    Cancelled,
}

/// Runs the picker until somebody has picked.
pub(crate) fn run(app: &App, library: Library, options: &PickOptions) -> Result<Picked> {
    let now = app.environment.now;
    let mut picker = Picker::new(&options.query, Box::new(move |text| parse_since(text, now)));
    let all = ListQuery {
        kind: KindFilter::All,
        archived: ArchivedFilter::All,
        trashed: ArchivedFilter::All,
        ..ListQuery::default()
    };
    if options.select_one || options.exit_empty {
        // Whether one or none matches is known of all conversations only.
        let rows = worker::rows(&library, &all, app.folder())?;
        picker.load(rows, true);
        match (picker.counts().shown, picker.choice()) {
            (1, Some(choice)) if options.select_one => return Ok(Picked::Place(choice)),
            (0, _) if options.exit_empty => return Ok(Picked::Nothing),
            _ => {}
        }
    } else {
        let first = library.page(&ListQuery { limit: Some(FIRST_ROWS), ..all })?;
        // Which of them are from here is found out with the rest.
        let rows = first.rows.into_iter().map(|summary| PickerRow { summary, scope: Scope::Here, compacted: false });
        picker.load(rows.collect(), false);
    }
    if !options.may_draw {
        return Ok(Picked::Undrawn);
    }
    // The first frame waits for nothing; what agents wrote since comes while it is looked at, and what they write now too.
    let refresh = library.begin_refresh(app, Follow::Yes)?;
    let (worker, news) = Worker::start(library, refresh, now, app.folder().map(str::to_owned));
    let mut screen = Screen::open(options.height)?;
    let picked = look(app, &mut picker, &mut screen, &worker, &news);
    screen.close()?;
    picked
}

fn look(app: &App, picker: &mut Picker, screen: &mut Screen, worker: &Worker, news: &Receiver<News>) -> Result<Picked> {
    let mut preview = Preview::default();
    let coloured = app.terminal.error_theme.is_coloured();
    loop {
        if let Some(choice) = preview.wants(picker) {
            worker.preview(choice);
        }
        screen.draw(&Screenful {
            picker,
            preview: &preview,
            now: app.environment.now,
            coloured,
            home: app.environment.home.as_deref(),
        })?;
        let mut events = Vec::new();
        if event::poll(TICK)? {
            events.extend(keys::read(&event::read()?));
            // What was typed meanwhile is taken before anything is drawn again.
            while event::poll(Duration::ZERO)? {
                events.extend(keys::read(&event::read()?));
            }
        }
        for told in news.try_iter() {
            match told {
                News::Rows(rows) => picker.load(rows, true),
                News::Preview(choice, lines) => preview.fill(choice, lines),
                News::Event(event) => events.push(event),
            }
        }
        for event in events {
            for action in picker.take(event) {
                match action {
                    Action::Quit { cancelled } => {
                        return Ok(if cancelled { Picked::Cancelled } else { Picked::Nothing });
                    }
                    Action::Pick(choice) => return Ok(Picked::Place(choice)),
                    Action::Fork(choice) => return Ok(Picked::Fork(choice)),
                    Action::Watch(choice) => return Ok(Picked::Watch(choice)),
                    Action::Repair(choice) => return Ok(Picked::Repair(choice)),
                    Action::Copy(text) => {
                        screen.copy(&text)?;
                        picker.take(Event::Done(format!("copied {text}")));
                    }
                    action => worker.ask(action),
                }
            }
        }
    }
}
