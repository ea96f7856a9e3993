//! What a model in one file on the Hub is and takes, by its header, before it is fetched.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use super::network::Fetch;
use crate::checkpoint::{Checkpoint, Options};
use crate::model::ModelConfig;
use crate::parts::{Architecture, Part};
use crate::source::keeping::Foretold;
use crate::source::link::Link;
use crate::source::retry::Patience;
use crate::source::url::Url;
use crate::source::{LocalFuture, Source, architecture};
use crate::weights::{Storage, WeightBytes, repack};
use crate::{Error, Result};

/// What is fetched of a file's beginning at first, in bytes: more than the header of any model that can be run.
const FIRST: u64 = 512 << 10;

/// A file on the Hub, of which pieces are read.
#[derive(Clone)]
pub(super) struct Remote {
    pub hub: Url,
    pub url: Url,
    pub repo: String,
    pub path: String,
    pub length: u64,
}

/// One with its beginning, which is read in several pieces.
struct Begun {
    remote: Remote,
    beginning: RefCell<Vec<u8>>,
}

impl Remote {
    async fn piece(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let link = Link { transport: &Fetch, endpoint: &self.hub, token: None, patience: Patience::default() };
        let name = format!("{}/{}", self.repo, self.path);
        Ok(link.piece(&name, &self.url, range, &mut |_| ControlFlow::Continue(())).await?)
    }
}

impl Source for Begun {
    fn name(&self) -> String {
        self.remote.repo.clone()
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
        Box::pin(async move { Ok((path == self.remote.path).then_some(self.remote.length)) })
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            if path != self.remote.path || range.end > self.remote.length {
                return Err(Error::Internal(format!("{path} has no bytes {range:?}")));
            }
            let [from, to] = [range.start, range.end].map(|place| place as usize);
            if range.end > FIRST {
                return self.remote.piece(range).await;
            }
            if self.beginning.borrow().is_empty() {
                let first = self.remote.piece(0..FIRST.min(self.remote.length)).await?;
                self.beginning.replace(first);
            }
            Ok(self.beginning.borrow().get(from..to).unwrap_or_default().to_vec())
        })
    }
}

/// Whether a file of the folder is asked for where a model in one file is of unusual sizes: configurations and tokenizers.
pub(super) fn is_base(path: &str) -> bool {
    Part::ALL.into_iter().flat_map(Part::small).chain([Part::MODEL_INDEX]).any(|small| small == path)
}

/// Reads the header of a model in one file, and gives what it says; configuration and tokenizer are those of the `base`, or of its family.
///
/// # Errors
/// Those of the network, and of [`Checkpoint::open`].
pub(super) async fn foretell(remote: Remote, base: Option<Rc<dyn Source>>) -> Result<Foretold> {
    let path = remote.path.clone();
    let file = Rc::new(Begun { remote, beginning: RefCell::default() });
    let checkpoint = Checkpoint::open(file, &path, &Options { base, ..Options::default() }).await?;
    let model = ModelConfig::read(&checkpoint).await?;
    let architecture = architecture(&checkpoint).await?;
    let mut eight = 0;
    for part in architecture.with_weights() {
        eight += repack::Repacked::plan(&checkpoint, part, Storage::Q8, &BTreeSet::new()).await?.length;
    }
    for path in repack::small_files(&checkpoint).await? {
        eight += checkpoint.length(&path).await?.unwrap_or(0);
    }
    let left = model.left_in_files();
    let weights = async |storage| Ok::<_, Error>(WeightBytes::read(&checkpoint, storage, &left).await?.resident());
    let weights = [weights(Storage::F16).await?, weights(Storage::Q8).await?];
    Ok(Foretold { sdxl: architecture == Architecture::Sdxl, side: model.resolution(), eight, weights })
}
