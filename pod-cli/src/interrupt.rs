//! Ctrl-C.
//!
//! A store is whole after any call, and also where a call was cut off; so the process simply ends, with the code for
//! "cancelled". What it was doing goes on with the same command again. Where it is worth something to know how far it came, the work is
//! asked to stop instead.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::error::exit;

/// Whether somebody pressed Ctrl-C.
#[derive(Clone, Debug)]
pub(crate) struct StopAsked(Arc<AtomicBool>);

impl StopAsked {
    /// What the work answers whoever asks whether to go on.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// What Ctrl-C does.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// The next Ctrl-C ends the process.
    at_once: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on Ctrl-C ends the process with the code for "cancelled".
    pub(crate) fn install() -> io::Result<Self> {
        let interrupt = Self { at_once: Arc::new(AtomicBool::new(true)) };
        flag::register_conditional_shutdown(SIGINT, i32::from(exit::CANCELLED), Arc::clone(&interrupt.at_once))?;
        Ok(interrupt)
    }

    /// From now on Ctrl-C asks the work to stop, so that it can say how far it came; a second one ends the process.
    pub(crate) fn ask_to_stop(&self) -> io::Result<StopAsked> {
        let asked = Arc::new(AtomicBool::new(false));
        // Signal actions run in this order, so that the first Ctrl-C finds the flag not yet set.
        flag::register_conditional_shutdown(SIGINT, i32::from(exit::CANCELLED), Arc::clone(&asked))?;
        flag::register(SIGINT, Arc::clone(&asked))?;
        self.at_once.store(false, Ordering::SeqCst);
        Ok(StopAsked(asked))
    }

    /// From now on Ctrl-C is for a child that has the terminal.
    pub(crate) fn leave_to_child(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// From now on Ctrl-C ends the process.
    pub(crate) fn end_at_once(&self) {
        self.at_once.store(true, Ordering::SeqCst);
    }
}
