//! `pseudoword train`: pictures in, an embedding out.

mod batch;
mod bug_report;
mod drive;
mod dry_run;
mod finished;
mod folder;
mod leave;
mod left;
mod lock;
mod log;
mod masks;
mod names;
mod pictures;
mod request;
mod scratch;
mod state_files;
mod watchdog;
mod workplace;

pub(super) use self::batch::{List, Shard, Together, TypedList};
use self::drive::Run;
use self::finished::FinishedRun;
pub(super) use self::left::{Left, left_in};
pub(super) use self::names::{REPORT, SETTINGS};
pub(super) use self::pictures::read_picture;
use self::request::Request;
use self::workplace::Workplace;
use super::args::{Shared, TrainArgs};
use super::output::Output;
use crate::{Error, Result};

/// What came of a run that did not fail.
enum Ended {
    /// All its steps are made.
    Done,
    /// It was finished before.
    Finished,
    /// It was tried, for `--dry-run`.
    Tried,
}

/// A run that was begun, if there was anything to do.
enum Begun<'a> {
    Run(Box<Run<'a>>),
    Ended(Ended),
}

/// Trains an embedding, or each of a list; or says with `--dry-run` what that would take.
///
/// # Errors
/// What is wrong with the request, before a model is loaded; later, what stopped the run.
pub(super) async fn run(args: &TrainArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    match &args.list {
        Some(list) => batch::run(args, list, shared, out).await,
        None if args.index.is_some() || args.shard.is_some() || args.together.is_some() => Err(Error::Usage(
            "--index, --shard and --together are of a list, and there is none: give --batch".to_owned(),
        )),
        None => learn(args, shared, &Workplace::default(), out).await,
    }
}

/// Trains one embedding, or two of the same pictures.
async fn learn(args: &TrainArgs, shared: &Shared, workplace: &Workplace, out: &Output) -> Result<()> {
    let Begun::Run(mut run) = begin(args, shared, workplace, out.clone()).await? else { return Ok(()) };
    let interrupt = workplace.interrupt(shared)?;
    let watch = run.watch();
    let ended = run.drive(&interrupt).await;
    drop(watch);
    run.end(ended)
}

/// Begins a run, or goes on with the one that is in the folder.
async fn begin<'a>(
    args: &'a TrainArgs,
    shared: &'a Shared,
    workplace: &'a Workplace,
    mut out: Output,
) -> Result<Begun<'a>> {
    let mut request = Request::prepare(args, shared, workplace, &mut out).await?;
    let Some(lock) = request.lock.take() else {
        return dry_run::run(request, &mut out).await.map(|()| Begun::Ended(Ended::Tried));
    };
    // From here on a request to stop waits until it can be followed.
    workplace.interrupt(shared)?;
    let resumable = request.resumable.take();
    let state = resumable.as_ref().map(|resumable| &resumable.state);
    let loaded = request.job(state, &mut out).await?;
    if let Some(finished) = state.and_then(|state| FinishedRun::of(state, &request, &loaded.job)) {
        return finished.report(&mut out).map(|()| Begun::Ended(Ended::Finished));
    }
    Run::begin(request, lock, loaded, resumable, out).map(|run| Begun::Run(Box::new(run)))
}
