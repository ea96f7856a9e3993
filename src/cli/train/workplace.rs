//! What one run after another uses: the device, the model, and the ear for requests to stop.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::cli::args::Shared;
use crate::cli::faults::interrupt::Interrupt;
use crate::cli::load;
use crate::cli::locate;
use crate::cli::outlook::{Outlook, Planned};
use crate::cli::output::Output;
use crate::cli::panics;
use crate::gpu::{self, Chosen};
use crate::model::{Loading, OpenedModel};
use crate::session::Session;
use crate::{Error, Result};

/// A device and a model, which are found when the first run needs them, and loaded once.
#[derive(Default)]
pub(super) struct Workplace {
    device: RefCell<Option<Chosen>>,
    opened: OnceCell<Rc<OpenedModel>>,
    session: RefCell<Option<Session>>,
    interrupt: OnceCell<Interrupt>,
    /// How many times the device was started again.
    restarts: Cell<u32>,
    /// How many runs at most share a pass; none means one.
    together: Cell<Option<usize>>,
    /// The folders of runs that were begun here and are to be begun again.
    put_aside: RefCell<HashSet<PathBuf>>,
}

impl Workplace {
    /// How many runs at most share a pass: what they need of memory is that of all of them.
    pub fn together(&self) -> usize {
        self.together.get().unwrap_or(1)
    }

    /// Says how many runs will share a pass, before a model is loaded.
    pub fn share_passes(&self, together: usize) {
        self.together.set(Some(together));
    }

    /// Remembers the folder of a run that will be begun again.
    pub fn put_aside(&self, folder: &Path) {
        self.put_aside.borrow_mut().insert(folder.to_owned());
    }

    /// Whether a run in a folder was begun here, and is begun again.
    pub fn is_put_aside(&self, folder: &Path) -> bool {
        self.put_aside.borrow().contains(folder)
    }

    /// How many times the device was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts.get()
    }

    /// The device that is asked for.
    ///
    /// # Errors
    /// [`Error::NoGpu`].
    pub fn device(&self, shared: &Shared) -> Result<Chosen> {
        if let Some(device) = &*self.device.borrow() {
            return Ok(device.clone());
        }
        let device = gpu::choose(shared.device)?;
        *self.device.borrow_mut() = Some(device.clone());
        Ok(device)
    }

    /// The model that is asked for, with its small files read.
    ///
    /// # Errors
    /// As for [`locate::model_for`].
    pub async fn model(&self, shared: &Shared, planned: Planned<'_>, out: &mut Output) -> Result<Rc<OpenedModel>> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        let device = self.device(shared)?;
        let opened = Rc::new(locate::model_for(shared, &Outlook::new(shared, &device, planned), out).await?);
        Ok(self.opened.get_or_init(|| opened).clone())
    }

    /// The model on the device, without embeddings of any run. What a run needs of memory is looked at before the model is
    /// loaded, not again for the runs after it, to which the weights would count twice.
    ///
    /// # Errors
    /// As for [`load::session`].
    pub async fn session(
        &self,
        outlook: &Outlook<'_>,
        opened: &OpenedModel,
        loading: Loading,
        out: &mut Output,
    ) -> Result<Session> {
        if let Some(session) = &*self.session.borrow() {
            return Ok(session.clone());
        }
        let session = panics::caught_in(load::session(outlook, opened, loading, out)).await?;
        *self.session.borrow_mut() = Some(session.clone());
        Ok(session)
    }

    /// Starts the device again after it was lost: what was loaded onto it is gone. Of several runs that were on it, the first
    /// does so: `restarts` is how many there had been when a run began to use it.
    ///
    /// # Errors
    /// [`Error::NoGpu`] if it does not come back.
    pub fn restart(&self, restarts: u32) -> Result<Chosen> {
        if let Some(device) = &*self.device.borrow()
            && restarts < self.restarts()
        {
            return Ok(device.clone());
        }
        *self.session.borrow_mut() = None;
        let lost = self.device.borrow().clone();
        let lost = lost.ok_or_else(|| Error::Internal("a device that was never chosen is lost".to_owned()))?;
        let device = gpu::restart(&lost)?;
        panics::forget();
        self.restarts.set(self.restarts() + 1);
        *self.device.borrow_mut() = Some(device.clone());
        Ok(device)
    }

    /// Listens to requests to stop from the first time on.
    ///
    /// # Errors
    /// [`Error::Internal`] if that cannot be done.
    pub fn interrupt(&self, shared: &Shared) -> Result<Interrupt> {
        if let Some(interrupt) = self.interrupt.get() {
            return Ok(interrupt.clone());
        }
        let interrupt = Interrupt::listen(shared.quiet)?;
        Ok(self.interrupt.get_or_init(|| interrupt).clone())
    }

    /// Whether someone has asked to stop.
    pub fn is_to_stop(&self) -> bool {
        self.interrupt.get().is_some_and(Interrupt::asked)
    }
}
