//! A bundle on its way in, told as any other file is.

use std::path::Path;

use session_store::MigrateFailureKind;
use session_store::export::take_in;
use session_store::import::{ImportReport, ImportStatus, ImportWarning, ImportedFile};

use crate::app::App;
use crate::cli::ImportArgs;
use crate::error::Result;
use crate::library::Library;

/// Takes a bundle in, a row in the report for each of its sessions.
pub(super) fn take(
    app: &App,
    arguments: &ImportArgs,
    library: &Library,
    path: &Path,
    report: &mut ImportReport,
) -> Result<()> {
    if arguments.dry_run {
        let hint = "a bundle is proved before anything of it is written";
        return Err(App::usage("a bundle is imported or not; there is no rehearsal", hint));
    }
    let mut file = blank(path);
    let existed = |session| library.store.exists(session).unwrap_or(false);
    match take_in(path, &*library.store, app.environment.now) {
        Ok(taken) => {
            library.index.refresh(&*library.store)?;
            let session = taken.sessions.first().copied();
            let row = session.map(|session| library.index.summary(session)).transpose()?.flatten();
            let said = &taken.report;
            file.session_id = session.filter(|session| existed(*session));
            file.segment_id = row.as_ref().map(|row| row.segment_id);
            file.native_id = row.and_then(|row| row.native_id);
            file.entries = said.new_entries;
            file.records = said.entries;
            let warnings = said.warnings.iter().map(|message| ImportWarning { line: None, message: message.clone() });
            file.warnings = warnings.collect();
            file.met_damage = said.failures.iter().any(|one| one.kind == MigrateFailureKind::Damaged);
            file.error = said.failures.first().map(|one| one.message.clone());
            file.status = match () {
                () if file.error.is_some() => ImportStatus::Failed,
                () if said.new_entries == 0 => ImportStatus::Unchanged,
                () if said.new_entries == said.entries => ImportStatus::Imported,
                () => ImportStatus::Updated,
            };
        }
        Err(error) => file.error = Some(error.to_string()),
    }
    let count = match file.status {
        ImportStatus::Imported => &mut report.imported,
        ImportStatus::Updated => &mut report.updated,
        ImportStatus::Unchanged => &mut report.unchanged,
        ImportStatus::Failed => &mut report.failed,
        ImportStatus::Removed => &mut report.removed,
    };
    *count += 1;
    report.entries += file.entries;
    report.sessions.push(file);
    Ok(())
}

fn blank(path: &Path) -> ImportedFile {
    ImportedFile {
        source: path.display().to_string(),
        agent: None,
        native_id: None,
        session_id: None,
        segment_id: None,
        status: ImportStatus::Failed,
        entries: 0,
        records: 0,
        skipped: 0,
        warnings: Vec::new(),
        error: None,
        met_damage: false,
    }
}
