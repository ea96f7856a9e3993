//! In which precision products are made on this GPU: each way in f16 that the device offers is tested and timed once, what came
//! of it is kept in a small file, and read at the next start. One rule for native programs and for browsers.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use serde::{Deserialize, Serialize};
use wgpu::DeviceType;

use super::kept::{self, Keep, Key};
use super::{Chosen, Offer, Precision};
use crate::event::Event;
use crate::ops::{self, HalfMethod, HalfProducts, faults};
use crate::setting::Setting;
use crate::{Error, Result};

/// What the file says is wrong with a way while that is tested; it stays there if the program or the device does not outlive it.
const UNFINISHED: &str = "its self-test did not end";
/// How often a test may end so before it counts: once it may have been the user, and a page is closed or loaded again more
/// easily than a program is ended.
const MOST_TRIES: u32 = if cfg!(target_family = "wasm") { 5 } else { 2 };

/// What came of testing one way to make products in f16.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The way: [`HalfProducts::name`].
    pub way: String,
    /// What is wrong with it, if it is not right.
    pub wrong: Option<String>,
    /// Seconds that some products took; none where it was not timed.
    pub seconds: Option<f64>,
    /// Which of its tiles large, medium and small products are fastest in; none where it was not timed.
    #[serde(default)]
    pub tiles: Option<[usize; HalfProducts::TILES]>,
    /// Whether an attention was fastest so; none where it was not timed.
    #[serde(default)]
    pub attends: Option<bool>,
    /// How often its test was begun.
    #[serde(default)]
    tries: u32,
}

impl Verdict {
    /// What is made in this way, and how; none if there is no way of this name.
    fn method(&self) -> Option<HalfMethod> {
        let usual = HalfMethod::from(HalfProducts::from_name(&self.way)?);
        // A file that somebody has changed may say anything.
        let tiles = self.tiles.filter(|tiles| tiles.iter().all(|tile| *tile < HalfProducts::TILES));
        Some(HalfMethod {
            tiles: tiles.unwrap_or(usual.tiles),
            attends: self.attends.unwrap_or(usual.attends),
            ..usual
        })
    }

    /// Whether it is not to be tested again.
    fn is_settled(&self) -> bool {
        self.wrong.as_deref() != Some(UNFINISHED) || self.tries >= MOST_TRIES
    }
}

/// What was found about a device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Each way that the device offers.
    pub ways: Vec<Verdict>,
    /// Seconds that the same products took in f32; none where nothing was timed.
    pub full: Option<f64>,
}

impl Findings {
    /// Whether nothing is left to test or, except on a software GPU, to time.
    fn settles(&self, ways: &[HalfProducts], software: bool) -> bool {
        let of = |way: &HalfProducts| self.ways.iter().find(|verdict| verdict.way == way.name());
        ways.iter().all(|way| of(way).is_some_and(Verdict::is_settled)) && (software || self.full.is_some())
    }

    /// What is wrong with the ways that are not right; none if all are.
    pub fn wrong(&self) -> Option<String> {
        let wrong = |verdict: &Verdict| Some(format!("{}: {}", verdict.way, verdict.wrong.as_ref()?));
        let wrong: Vec<String> = self.ways.iter().filter_map(wrong).collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }

    /// What is wrong, as [`Findings::wrong`] says, and what to do about it.
    pub fn complaint(&self) -> Option<String> {
        let advice = if cfg!(target_family = "wasm") {
            format!("update the browser or the graphics driver; choosing {} f16 tests it again", Setting::Precision)
        } else {
            format!("update the graphics driver; pseudoword doctor {} tests it again", Setting::Retune)
        };
        Some(format!("{}; {advice}", self.wrong()?))
    }

    /// The ways that are right, the fastest first, those that could not be timed last.
    fn right(&self) -> Vec<(HalfMethod, Option<f64>)> {
        let right = |verdict: &Verdict| {
            let method = verdict.method().filter(|_| verdict.wrong.is_none())?;
            Some((method, verdict.seconds))
        };
        let mut right: Vec<_> = self.ways.iter().filter_map(right).collect();
        right.sort_by(|(_, a), (_, b)| a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY)));
        right
    }
}

/// In which precision products are made on a device, and how that was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The way to make them in f16, if they are.
    pub used: Option<HalfMethod>,
    /// What was found about the device, where it was asked.
    pub findings: Findings,
    /// Why they are made so.
    pub why: String,
}

impl Decision {
    /// `f16` or `f32`.
    pub fn precision(&self) -> &'static str {
        if self.used.is_some() { "f16" } else { "f32" }
    }

    /// The decision as an event.
    pub fn event(&self) -> Event {
        Event::Precision { products: self.precision().to_owned(), reason: self.sentence() }
    }

    /// The decision and its reason, for people.
    pub fn sentence(&self) -> String {
        match self.used {
            Some(method) => format!("in f16 with sums in f32, with {}: {}", method.name(), self.why),
            None => format!("in f32: {}", self.why),
        }
    }
}

/// Decides in which precision products are made on a device from now on; none for the processor.
///
/// What an earlier start kept is used, unless `again` says to test and time everything again. After an error products are made
/// as they were before.
///
/// # Errors
/// [`Error::Usage`] if f16 was asked for and the device has no way that is right; those of a device that was lost.
pub async fn decide(chosen: &Chosen, keep: &impl Keep, asked: Precision, again: bool) -> Result<Option<Decision>> {
    let offer = super::offer(chosen).filter(|_| ops::uses_kernels(&chosen.device));
    let Some(offer) = offer else {
        let reason = format!("{} makes products in f32 alone", chosen.name);
        return if asked == Precision::F16 { Err(refused(reason)) } else { Ok(None) };
    };
    let before = ops::half_products_of(&chosen.device);
    // What is tried has products in f32 beside it.
    ops::choose_half_products(&chosen.device, None);
    let decision = decision(chosen, &offer, keep, asked, again).await;
    ops::choose_half_products(&chosen.device, decision.as_ref().map_or(before, |decision| decision.used));
    decision.map(Some)
}

fn refused(reason: String) -> Error {
    Error::Usage(format!("{reason}, so {} f16 cannot be had here: use auto or f32", Setting::Precision))
}

/// The decision about a device that may offer something.
async fn decision(chosen: &Chosen, offer: &Offer, keep: &impl Keep, asked: Precision, again: bool) -> Result<Decision> {
    let in_full = |findings, why: &str| Decision { used: None, findings, why: why.to_owned() };
    let software = offer.info.device_type == DeviceType::Cpu;
    let ways = &offer.ways;
    Ok(match asked {
        Precision::F32 => in_full(Findings::default(), "as requested"),
        Precision::Auto if ways.is_empty() => in_full(Findings::default(), "the device has no f16"),
        Precision::Auto if software => in_full(Findings::default(), "f32 is faster on a software GPU"),
        Precision::F16 if ways.is_empty() => {
            return Err(refused(format!("{} has no f16", chosen.name)));
        }
        Precision::Auto | Precision::F16 => match found(chosen, offer, keep, again).await {
            Err(Error::GpuMemory { .. }) if asked == Precision::Auto => {
                in_full(Findings::default(), "the GPU's memory was full during the self-test in f16")
            }
            findings => judge(findings?, asked).map_err(refused)?,
        },
    })
}

/// What is to be done, given what was found; an error where f16 was asked for and nothing serves.
fn judge(findings: Findings, asked: Precision) -> std::result::Result<Decision, String> {
    let right = findings.right();
    let complaint = findings.complaint().unwrap_or_default();
    let decided = match right.first() {
        None if asked == Precision::F16 => {
            return Err(format!("no way to make products in f16 passed its self-test ({complaint})"));
        }
        None => (None, format!("no way in f16 passed its self-test ({complaint})")),
        Some((way, _)) if asked == Precision::F16 => (Some(*way), "as requested".to_owned()),
        Some((way, seconds)) => match (seconds, findings.full) {
            (Some(half), Some(full)) if *half < full => {
                (Some(*way), format!("{:.1} times as fast as in f32", full / half))
            }
            (Some(half), Some(full)) => (None, format!("f16 takes {:.2} times as long", half / full)),
            _ => (None, "f16 was not timed".to_owned()),
        },
    };
    Ok(Decision { used: decided.0, findings, why: decided.1 })
}

/// What an earlier start found, if that was kept.
async fn earlier(Offer { info, .. }: &Offer, keep: &impl Keep) -> Findings {
    let key = Key::of(info, ops::half_products_version());
    let bytes = keep.get(&kept::path("precision", info)).await;
    bytes.and_then(|bytes| kept::read(&key, &bytes)).unwrap_or_default()
}

/// Whether an earlier start tested the device, so that its ways are not tested now unless that is asked for.
pub async fn is_tested(chosen: &Chosen, keep: &impl Keep) -> bool {
    match super::offer(chosen) {
        Some(offer) => !offer.ways.is_empty() && earlier(&offer, keep).await.settles(&offer.ways, true),
        None => false,
    }
}

/// What is known about the ways that the device offers: from the file, or by testing and timing them.
async fn found(chosen: &Chosen, offer: &Offer, keep: &impl Keep, again: bool) -> Result<Findings> {
    let Offer { info, ways } = offer;
    let (key, path) = (Key::of(info, ops::half_products_version()), kept::path("precision", info));
    let software = info.device_type == DeviceType::Cpu;
    let kept = async || if again { Findings::default() } else { earlier(offer, keep).await };
    let known = kept().await;
    if known.settles(ways, software) {
        return Ok(known);
    }
    // What another process is about to find need not be found twice, and its marks are not those of one that ended.
    let _turn = keep.turn(&path).await;
    let known = kept().await;
    if known.settles(ways, software) {
        return Ok(known);
    }
    super::check("the work before the self-test in f16")?;
    let write = async |findings: &Findings| {
        let about = "how products in f16 did on this GPU; without this file they are tested again";
        if let Ok(bytes) = kept::write(&key, about, findings) {
            // What cannot be kept is tested again at the next start.
            let _kept = keep.put(&path, &bytes).await;
        }
    };
    examine_all(ways, known, write, async |way| match way {
        Some(way) => examine(chosen, way, software).await,
        None if software => Ok(Verdict::default()),
        None => {
            let seconds = tried(ops::time_products(&chosen.device)).await?.ok();
            Ok(Verdict { seconds, ..Verdict::default() })
        }
    })
    .await
}

/// Examines each way of which nothing is known for certain, and then products in f32. Before each, `write` is given what is
/// known if the program does not outlive it: a driver that brings the program down must not do so at every start.
async fn examine_all(
    ways: &[HalfProducts],
    mut known: Findings,
    write: impl AsyncFn(&Findings),
    examine: impl AsyncFn(Option<HalfProducts>) -> Result<Verdict>,
) -> Result<Findings> {
    let place = |name: &str| ways.iter().position(|way| way.name() == name);
    known.ways.retain(|verdict| place(&verdict.way).is_some());
    for way in ways {
        let before = known.ways.iter().position(|verdict| verdict.way == way.name());
        let former = before.map(|at| known.ways[at].clone());
        if former.as_ref().is_some_and(Verdict::is_settled) {
            continue;
        }
        let tries = former.as_ref().map_or(0, |verdict| verdict.tries) + 1;
        let at = before.unwrap_or_else(|| {
            known.ways.push(Verdict::default());
            known.ways.len() - 1
        });
        known.ways[at] = Verdict { way: way.name(), wrong: Some(UNFINISHED.to_owned()), tries, ..Verdict::default() };
        write(&known).await;
        known.ways[at] = match examine(Some(*way)).await {
            Ok(verdict) => Verdict { tries, ..verdict },
            Err(error) => {
                // Memory that is full now says nothing about the next start.
                if let Error::GpuMemory { .. } = &error {
                    known.ways.splice(at..=at, former);
                    write(&known).await;
                }
                return Err(error);
            }
        };
    }
    known.ways.sort_by_key(|verdict| place(&verdict.way));
    // Products in f32 may end the program, too: that speaks against no way.
    write(&known).await;
    known.full = examine(None).await?.seconds;
    write(&known).await;
    Ok(known)
}

/// Tests and times one way.
async fn examine(chosen: &Chosen, way: HalfProducts, software: bool) -> Result<Verdict> {
    let wrong = match tried(ops::half_self_test(&chosen.device, way)).await? {
        Ok(Ok(_)) => None,
        Ok(Err(wrong)) => Some(format!("wrong values for {}", wrong.join(", "))),
        Err(error) => Some(error.to_string()),
    };
    let verdict = Verdict { way: way.name(), wrong, ..Verdict::default() };
    if verdict.wrong.is_some() || software {
        return Ok(verdict);
    }
    let measured = tried(ops::measure_half_products(&chosen.device, way)).await?.ok();
    let of = |(method, seconds): (HalfMethod, f64)| Verdict {
        seconds: Some(seconds),
        tiles: Some(method.tiles),
        attends: Some(method.attends),
        ..verdict.clone()
    };
    Ok(measured.map_or_else(|| verdict.clone(), of))
}

/// How a trial ended. Faults that the driver reports during it are forgotten: they speak against what was tried alone.
///
/// # Errors
/// What leaves nothing to work with, or will pass: a lost device, a panic of the runtime, full memory.
async fn tried<T>(trial: impl Future<Output = Result<T>>) -> Result<Result<T>> {
    let during = || format!("the self-test of products in f16, which {} f32 leaves out", Setting::Precision);
    let mut trial = pin!(trial);
    // Drivers that fail make the runtime below panic; here that is a finding.
    let ended = poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| trial.as_mut().poll(context)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |polled| polled.map(Ok))
    })
    .await;
    let ended = ended.unwrap_or_else(|panic| match words_of(panic.as_ref()) {
        Some(words) if faults::is_full(words) => Err(Error::GpuMemory { reason: faults::first_line(words) }),
        _ => Err(Error::GpuLost { during: during(), reason: "the runtime panicked".to_owned() }),
    });
    match ended {
        Err(Error::GpuLost { reason, .. }) => Err(Error::GpuLost { during: during(), reason }),
        ended => {
            if ended.is_err() {
                faults::forgive();
            }
            if let Err(full @ Error::GpuMemory { .. }) = ended { Err(full) } else { Ok(ended) }
        }
    }
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&'static str>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(ways: &[(Option<&str>, Option<f64>)], full: Option<f64>) -> Findings {
        let verdict = |(i, (wrong, seconds)): (usize, &(Option<&str>, Option<f64>))| Verdict {
            way: HalfProducts::ALL[i].name(),
            wrong: wrong.map(str::to_owned),
            seconds: *seconds,
            tries: 1,
            ..Verdict::default()
        };
        Findings { ways: ways.iter().enumerate().map(verdict).collect(), full }
    }

    #[test]
    fn the_fastest_way_that_is_right_is_taken_where_it_is_faster_than_f32() {
        let [first, second] = [HalfProducts::ALL[0], HalfProducts::ALL[1]];
        let both = findings(&[(None, Some(2.0)), (None, Some(1.0))], Some(3.0));
        let decision = judge(both, Precision::Auto).unwrap();
        assert_eq!((decision.used, decision.why.as_str()), (Some(second.into()), "3.0 times as fast as in f32"));
        let untimed = findings(&[(None, None), (None, Some(1.0))], Some(3.0));
        assert_eq!(judge(untimed, Precision::Auto).unwrap().used, Some(second.into()));
        let wrong = findings(&[(None, Some(2.0)), (Some("wrong values for linear layers (1e0)"), None)], Some(3.0));
        assert_eq!(judge(wrong, Precision::Auto).unwrap().used, Some(first.into()));
        let slow = findings(&[(None, Some(2.0))], Some(1.0));
        assert_eq!(judge(slow.clone(), Precision::Auto).unwrap().used, None);
        assert_eq!(judge(slow, Precision::F16).unwrap().used, Some(first.into()));
    }

    /// Every way examined by `examine`, beginning with what is known; what was kept last, and how it ended.
    fn examined(
        known: Findings,
        examine: impl AsyncFn(Option<HalfProducts>) -> Result<Verdict>,
    ) -> (Findings, Result<Findings>) {
        let kept = std::cell::RefCell::new(known.clone());
        let write = async |findings: &Findings| *kept.borrow_mut() = findings.clone();
        let ended = pollster::block_on(examine_all(&HalfProducts::ALL[..2], known, write, examine));
        (kept.into_inner(), ended)
    }

    /// A way that is right, or products in f32.
    fn fine(way: Option<HalfProducts>) -> Verdict {
        Verdict { way: way.map(HalfProducts::name).unwrap_or_default(), seconds: Some(1.0), ..Verdict::default() }
    }

    #[test]
    fn a_test_that_the_program_does_not_outlive_is_begun_once_more_and_then_remembered() {
        let ways = &HalfProducts::ALL[..2];
        let falls = async |way| match way {
            Some(way) if way == HalfProducts::ALL[1] => tried(async { panic!("the driver fell over") }).await?,
            way => Ok(fine(way)),
        };
        let (once, lost) = examined(Findings::default(), falls);
        let lost = lost.unwrap_err();
        assert!(matches!(lost, Error::GpuLost { .. }), "{lost}");
        assert!(lost.to_string().contains(&format!("{} f32", Setting::Precision)), "{lost}");
        // It may have been the user who ended the program.
        assert!(!once.settles(ways, true));
        let (twice, _) = examined(once.clone(), async |way| {
            assert_ne!(way, Some(HalfProducts::ALL[0]), "this is known");
            falls(way).await
        });
        assert!(twice.settles(ways, true) && !twice.settles(ways, false), "{twice:?}");
        let (_, rest) = examined(twice, async |way| {
            assert_eq!(way, None, "the rest is known");
            Ok(fine(way))
        });
        let decision = judge(rest.unwrap(), Precision::F16).unwrap();
        assert_eq!(decision.used, Some(HalfProducts::ALL[0].into()));
        assert!(decision.findings.complaint().unwrap().contains(UNFINISHED), "{decision:?}");
        // It was the user.
        let (_, all) = examined(once, async |way| Ok(fine(way)));
        let all = all.unwrap();
        assert!(all.settles(ways, false) && all.wrong().is_none(), "{all:?}");
    }

    #[test]
    fn full_memory_is_not_a_lost_device() {
        let owned = pollster::block_on(tried::<()>(async { std::panic::panic_any("Out of memory".to_owned()) }));
        let literal = pollster::block_on(tried::<()>(async { panic!("Out of memory") }));
        for full in [owned, literal] {
            assert!(matches!(full, Err(Error::GpuMemory { .. })), "{full:?}");
        }
    }

    #[test]
    fn full_memory_leaves_what_was_found_and_no_mark() {
        let full = || Error::GpuMemory { reason: "Out of memory".to_owned() };
        let (first, second) = (HalfProducts::ALL[0], HalfProducts::ALL[1]);
        let in_the_second = async |way| if way == Some(second) { Err(full()) } else { Ok(fine(way)) };
        let (kept, ended) = examined(Findings::default(), in_the_second);
        assert!(matches!(ended, Err(Error::GpuMemory { .. })), "{ended:?}");
        assert_eq!(kept.ways, [Verdict { tries: 1, ..fine(Some(first)) }]);
        // In products in f32, too.
        let (kept, _) = examined(kept, async |way| if way.is_none() { Err(full()) } else { Ok(fine(way)) });
        assert_eq!(
            kept.ways.iter().map(|verdict| (verdict.tries, verdict.wrong.as_deref())).collect::<Vec<_>>(),
            [(1, None); 2]
        );
        // A test that did not end before stays so.
        let once = findings(&[(Some(UNFINISHED), None)], None);
        let (kept, _) = examined(once.clone(), async |_| Err(full()));
        assert_eq!(kept, once);
    }

    #[test]
    fn a_driver_that_is_wrong_is_passed_over_and_said() {
        let wrong = findings(&[(Some("wrong values for linear layers (1e0)"), None)], None);
        let decision = judge(wrong.clone(), Precision::Auto).unwrap();
        assert!(
            decision.used.is_none() && decision.sentence().contains("wrong values for linear layers"),
            "{decision:?}"
        );
        assert!(judge(wrong, Precision::F16).unwrap_err().contains("wrong values for linear layers"));
    }
}
