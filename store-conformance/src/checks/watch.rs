//! Following a log and leasing it.

mod lease;
mod tail;

use store_core::{Backend, Watch};

pub(crate) use self::lease::*;
pub(crate) use self::tail::*;
use crate::Failure;

fn watch(store: &dyn Backend) -> Result<&dyn Watch, Failure> {
    let none = || Failure::new("the store must offer Watch, or its harness say in `not_offered` that it does not");
    store.watch().ok_or_else(none)
}
