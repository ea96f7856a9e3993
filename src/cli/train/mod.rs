//! `pseudoword train`: pictures in, an embedding out.

mod bug_report;
mod drive;
mod dry_run;
mod finished;
mod folder;
mod leave;
mod lock;
mod log;
mod masks;
mod names;
mod pictures;
mod request;
mod scratch;
mod state_files;
mod watchdog;

use self::drive::Run;
use self::finished::FinishedRun;
pub(super) use self::names::REPORT;
pub(super) use self::pictures::read_picture;
use self::request::Request;
use super::args::{Shared, TrainArgs};
use super::faults::interrupt::Interrupt;
use super::output::Output;
use crate::Result;

/// Trains an embedding, or says with `--dry-run` what that would take.
///
/// # Errors
/// What is wrong with the request, before a model is loaded; later, what stopped the run.
pub(super) async fn run(args: &TrainArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let mut request = Request::prepare(args, shared, out).await?;
    let Some(lock) = request.lock.take() else {
        return dry_run::run(request, out).await;
    };
    let interrupt = Interrupt::listen(shared.quiet)?;
    let resumable = request.resumable.take();
    let state = resumable.as_ref().map(|resumable| &resumable.state);
    let loaded = request.job(state, out).await?;
    if let Some(finished) = state.and_then(|state| FinishedRun::of(state, &request, &loaded.job)) {
        return finished.report(out);
    }
    let mut run = Run::begin(request, lock, loaded, resumable, out)?;
    run.watch();
    let ended = run.drive(&interrupt).await;
    run.end(ended)
}
