//! Ctrl-C.
//!
//! A store is whole after any call, so most commands simply end. An import ends between two files instead, so that
//! it can say how far it came; a second Ctrl-C ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

use crate::error::exit;

/// What Ctrl-C does, and whether it was pressed.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// The next Ctrl-C ends the process.
    at_once: Arc<AtomicBool>,
    /// It was pressed.
    pressed: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on Ctrl-C ends the process with the code for "cancelled".
    pub(crate) fn install() -> io::Result<Self> {
        let interrupt = Self { at_once: Arc::new(AtomicBool::new(true)), pressed: Arc::new(AtomicBool::new(false)) };
        flag::register_conditional_shutdown(SIGINT, i32::from(exit::CANCELLED), Arc::clone(&interrupt.at_once))?;
        flag::register(SIGINT, Arc::clone(&interrupt.pressed))?;
        Ok(interrupt)
    }

    /// From now on the first Ctrl-C is only noted, the second ends the process.
    pub(crate) fn note_first(&self) -> io::Result<()> {
        self.at_once.store(false, Ordering::SeqCst);
        flag::register(SIGINT, Arc::clone(&self.at_once))?;
        Ok(())
    }

    /// From now on Ctrl-C is for a child that has the terminal.
    pub(crate) fn leave_to_child(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// From now on Ctrl-C ends the process.
    pub(crate) fn end_at_once(&self) {
        self.at_once.store(true, Ordering::SeqCst);
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn was_pressed(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }
}
