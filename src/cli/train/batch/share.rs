//! Which words of a list this process learns: all, one of them, or a share; typed, or told by the engine that started it.

use std::ffi::OsString;
use std::str::FromStr;

use crate::base::text::one_line;
use crate::{Error, Result};

/// Where engines tell a task which one it is, and from which number they count.
const TASKS: [(&str, usize); 9] = [
    ("SLURM_ARRAY_TASK_ID", 0),
    ("JOB_COMPLETION_INDEX", 0),
    ("AWS_BATCH_JOB_ARRAY_INDEX", 0),
    ("CLOUD_RUN_TASK_INDEX", 0),
    ("BATCH_TASK_INDEX", 0),
    ("GFLOW_ARRAY_TASK_ID", 0),
    ("PBS_ARRAY_INDEX", 0),
    ("SGE_TASK_ID", 1),
    ("LSB_JOBINDEX", 1),
];

/// Where engines tell how many tasks there are.
const COUNTS: [&str; 4] =
    ["SLURM_ARRAY_TASK_COUNT", "CLOUD_RUN_TASK_COUNT", "BATCH_TASK_COUNT", "AWS_BATCH_JOB_ARRAY_SIZE"];

/// Where engines tell what the job is called, most of them; Kubernetes tells only the pod.
const JOBS: [&str; 8] = [
    "SLURM_ARRAY_JOB_ID",
    "SLURM_JOB_ID",
    "AWS_BATCH_JOB_ID",
    "CLOUD_RUN_EXECUTION",
    "BATCH_JOB_UID",
    "PBS_JOBID",
    "JOB_ID",
    "LSB_JOBID",
];

/// One of several shares of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Shard {
    number: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(typed: &str) -> std::result::Result<Self, String> {
        let rule = || "it must be two numbers such as 0/4, the first below the second".to_owned();
        let (number, of) = typed.split_once('/').ok_or_else(rule)?;
        let (number, of) = (number.parse().map_err(|_| rule())?, of.parse().map_err(|_| rule())?);
        if number < of { Ok(Self { number, of }) } else { Err(rule()) }
    }
}

/// Which words of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    All,
    One(usize),
    Part(Shard),
}

/// What the environment says of a process, where an engine started it.
#[derive(Debug, Default)]
pub(super) struct Engine {
    /// The variable and the number of the task, from 0.
    task: Option<(&'static str, usize)>,
    tasks: Option<usize>,
    /// What the job is called.
    pub job: Option<String>,
}

impl Engine {
    /// Which task it is matters only where nothing about that is typed.
    ///
    /// # Errors
    /// [`Error::Usage`] if what stands for a task is no number.
    pub fn of(environment: impl Fn(&str) -> Option<OsString>, is_typed: bool) -> Result<Self> {
        let text = |name: &str| environment(name).map(|value| value.to_string_lossy().into_owned());
        let mut task = None;
        for (name, first) in TASKS.into_iter().filter(|_| !is_typed) {
            // Where there is no array, SGE says `undefined`, and LSF 0.
            let Some(value) = text(name).filter(|value| !["", "undefined"].contains(&value.as_str())) else { continue };
            let number = value.trim().parse::<usize>().map_err(|_| {
                let value = one_line(&value);
                Error::Usage(format!(
                    "{name} is {value} in the environment, which is no number: give --index or --shard"
                ))
            })?;
            if number >= first {
                task = Some((name, number - first));
                break;
            }
        }
        let tasks = COUNTS.iter().find_map(|name| text(name)?.trim().parse().ok());
        let pod = || text("HOSTNAME").filter(|_| text("JOB_COMPLETION_INDEX").is_some());
        let job = JOBS.iter().find_map(|name| text(name)).or_else(pod);
        Ok(Self { task, tasks, job })
    }
}

impl Share {
    /// What was asked for, or else what an engine says, of a list of so many words; and sentences about it.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no such word in the list.
    pub fn of(
        index: Option<usize>,
        shard: Option<Shard>,
        engine: &Engine,
        words: usize,
    ) -> Result<(Self, Vec<String>)> {
        let mut said = Vec::new();
        let share = match (index, shard, engine.task) {
            (Some(index), ..) => Self::One(index),
            (_, Some(shard), _) => Self::Part(shard),
            (None, None, Some((name, index))) => {
                said.push(format!("word {index} of the list, from 0, as {name} says in the environment"));
                // One task may be a word that is tried again.
                if let Some(tasks) = engine.tasks.filter(|tasks| (2..words).contains(tasks)) {
                    said.push(format!(
                        "the list has {words} words, and this job {tasks} tasks with one word each: a task can take more by --shard"
                    ));
                }
                Self::One(index)
            }
            (None, None, None) => Self::All,
        };
        match share {
            Self::One(index) if index >= words => {
                let from =
                    engine.task.map_or_else(|| "--index".to_owned(), |(name, _)| format!("{name} in the environment"));
                let last = words - 1;
                Err(Error::Usage(format!("{from} is word {index} of the list, which has 0 to {last}")))
            }
            share => Ok((share, said)),
        }
    }

    pub fn has(self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => index == one,
            Self::Part(Shard { number, of }) => index % of == number,
        }
    }

    /// What a file about this share has in its name.
    pub fn label(self) -> Option<String> {
        match self {
            Self::All => None,
            Self::One(index) => Some(index.to_string()),
            Self::Part(Shard { number, of }) => Some(format!("{number}-of-{of}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(variables: &[(&str, &str)]) -> Result<Engine> {
        let found = |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into());
        Engine::of(found, false)
    }

    #[test]
    fn every_word_is_in_one_share() {
        for of in 1..6 {
            let shares: Vec<Share> =
                (0..of).map(|number| Share::Part(format!("{number}/{of}").parse().unwrap())).collect();
            for index in 0..20 {
                assert_eq!(shares.iter().filter(|share| share.has(index)).count(), 1);
            }
        }
        for typed in ["", "1", "4/4", "1/0", "-1/4", "a/4", "1/4/5", "1.5/4"] {
            assert!(typed.parse::<Shard>().is_err(), "{typed}");
        }
    }

    #[test]
    fn an_engine_says_which_word_unless_something_is_typed() {
        let slurm =
            engine(&[("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_JOB_ID", "77"), ("SLURM_ARRAY_TASK_COUNT", "4")])
                .unwrap();
        let (share, said) = Share::of(None, None, &slurm, 4).unwrap();
        assert_eq!((share, said.len(), slurm.job.as_deref()), (Share::One(3), 1, Some("77")));
        assert!(said[0].contains("SLURM_ARRAY_TASK_ID"));
        assert!(Share::of(None, None, &slurm, 12).unwrap().1[1].contains("12 words"));
        let shard: Shard = "1/2".parse().unwrap();
        assert_eq!(Share::of(Some(1), None, &slurm, 4).unwrap(), (Share::One(1), vec![]));
        let typed = Engine::of(|name| (name == "PBS_ARRAY_INDEX").then(|| "x".into()), true).unwrap();
        assert!(Share::of(Some(3), None, &typed, 2).unwrap_err().to_string().starts_with("--index"));
        assert_eq!(Share::of(None, Some(shard), &slurm, 4).unwrap(), (Share::Part(shard), vec![]));
        let error = Share::of(None, None, &slurm, 3).unwrap_err().to_string();
        assert!(error.contains("SLURM_ARRAY_TASK_ID") && error.contains("0 to 2"), "{error}");
        assert!(Share::of(Some(3), None, &slurm, 2).is_err());
        for (variables, index) in [
            (&[("SGE_TASK_ID", "1")], Some(0)),
            (&[("SGE_TASK_ID", "undefined")], None),
            (&[("LSB_JOBINDEX", "0")], None),
            (&[("LSB_JOBINDEX", "12")], Some(11)),
            (&[("JOB_COMPLETION_INDEX", "5")], Some(5)),
            (&[("HOME", "5")], None),
        ] {
            assert_eq!(engine(variables).unwrap().task.map(|(_, index)| index), index, "{variables:?}");
        }
        assert!(engine(&[("PBS_ARRAY_INDEX", "x")]).unwrap_err().to_string().contains("PBS_ARRAY_INDEX"));
        let pod = engine(&[("JOB_COMPLETION_INDEX", "5"), ("HOSTNAME", "words-5-x")]).unwrap();
        assert_eq!(pod.job.as_deref(), Some("words-5-x"));
        assert_eq!(engine(&[("HOSTNAME", "pc")]).unwrap().job, None);
    }
}
