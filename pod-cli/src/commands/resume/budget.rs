//! Holding an agent that is started to the budgets of its folder.
//!
//! What it will cost nobody knows: reserved is what a turn of the conversation has cost so far in the mean, a cent at least and what is left at most. So somebody who starts several agents at
//! once in a folder with little left is stopped; one long conversation may still cost more than was there, and the next one is refused.

use session_store::budget::{Owner, Reservation, Standing, Wanted};
use session_store::usage::{NanoDollars, PriceTable, Use};

use super::Ready;
use crate::app::App;
use crate::commands::books::all_uses;
use crate::commands::budget::{budgets, cost_of_a_turn, warn, with_ledger};
use crate::error::Result;
use crate::library::{Library, read_ledger};

/// The least that is reserved.
const LEAST: NanoDollars = NanoDollars(10_000_000);

/// What was reserved.
pub(super) struct Held {
    reservation: Reservation,
    prices: PriceTable,
}

/// Reserves for a conversation whose lease this process holds; `None` where no budget is set.
pub(super) fn begin(app: &App, library: &Library, ready: &Ready) -> Result<Option<Held>> {
    let Some(project) = ready.cwd.to_str() else { return Ok(None) };
    let Some(read) = read_ledger(app)? else { return Ok(None) };
    let prices = app.prices()?;
    if budgets(app, &*read, library, &prices).covering(project)?.is_empty() {
        return Ok(None);
    }
    let uses = all_uses(app, library, &prices)?;
    let turns = library.index.summary(ready.at.session_id)?.map_or(0, |row| row.turns);
    let wanted = cost_of_a_turn(&of_session(&uses, ready), &prices, turns).max(LEAST);
    let (reservation, standings) = with_ledger(app, |ledger| {
        let budgets = budgets(app, ledger, library, &prices);
        let standings = budgets.list(&budgets.covering(project)?, &uses)?;
        let owner = Owner::of(&*library.store, ready.at.session_id, ready.at.segment_id)?;
        Ok((budgets.reserve(project, Wanted::AtMost(wanted), &owner)?, standings))
    })?;
    warn(app, &standings);
    Ok(Some(Held { reservation, prices }))
}

/// Posts what the conversation cost, gives back what was reserved, and tells of budgets that are nearly spent. What fails is told: the next one does it.
pub(super) fn end(app: &App, library: &Library, ready: &Ready, held: &Held) {
    match settle(app, library, ready, held) {
        Ok(standings) => warn(app, &standings),
        Err(error) => {
            app.warn(&format!("what this cost is not in the budget yet: {}", error.report().message));
            app.hint("`pod budget list` brings it up to date");
        }
    }
}

fn settle(app: &App, library: &Library, ready: &Ready, Held { reservation, prices }: &Held) -> Result<Vec<Standing>> {
    library.index.refresh(&*library.store)?;
    let uses = all_uses(app, library, prices)?;
    with_ledger(app, |ledger| {
        let budgets = budgets(app, ledger, library, prices);
        budgets.settle(reservation, &of_session(&uses, ready))?;
        budgets.list(&budgets.covering(&reservation.project)?, &uses)
    })
}

fn of_session(uses: &[Use], ready: &Ready) -> Vec<Use> {
    uses.iter().filter(|one| one.session == ready.at.session_id).cloned().collect()
}
