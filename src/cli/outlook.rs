//! What a job will take of this machine: found out before a model's weights are fetched, and again before they are
//! loaded.

use super::args::{Shared, WeightStorage};
use crate::Result;
use crate::base::bytes::size;
use crate::base::failpoints;
use crate::gpu::{self, Chosen, Precision, noop};
use crate::model::{ModelConfig, storage_for};
use crate::parts::FileLength;
use crate::plan::{Machine, MemoryPlan, WeightBytes};
use crate::weights::Storage;

/// Needs below this fit into any machine: a sentence about them would be noise.
const WORTH_PRINTING: u64 = 512 << 20;

/// What a job needs of a model, given its weights as they will be kept, and whether the processor computes; or why it
/// cannot be done with this model.
pub(super) type Planned<'a> = &'a dyn Fn(&ModelConfig, WeightBytes, bool) -> Result<MemoryPlan>;

/// A job that is planned.
pub(super) struct Outlook<'a> {
    pub device: &'a Chosen,
    /// In which precision products may be made.
    pub precision: Precision,
    weights: WeightStorage,
    planned: Planned<'a>,
}

impl<'a> Outlook<'a> {
    pub fn new(shared: &Shared, device: &'a Chosen, planned: Planned<'a>) -> Self {
        Self { device, precision: shared.precision, weights: shared.weights, planned }
    }

    /// How weights are kept, if the user chooses.
    pub fn storage(&self) -> Option<Storage> {
        match self.weights {
            WeightStorage::Auto => None,
            WeightStorage::File => Some(Storage::AsFile),
            WeightStorage::Q8 => Some(Storage::Q8),
            WeightStorage::F16 => Some(Storage::F16),
            WeightStorage::F32 => Some(Storage::F32),
        }
    }

    /// How weights may be kept, the first that fits first: as is `usual`, and narrower where the user left that open.
    pub fn storages(&self, usual: Storage) -> Vec<Storage> {
        let narrower = [Storage::F16, Storage::Q8].into_iter().filter(|storage| *storage != usual);
        std::iter::once(usual).chain(narrower.filter(|_| self.storage().is_none())).collect()
    }

    pub fn on_gpu(&self) -> bool {
        gpu::is_gpu(&self.device.device)
    }

    /// What the job will take of the memory, judged by the lengths of weights that are not there yet; nothing where
    /// that is not worth a sentence.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`](crate::Error::TooLittleMemory) if the work cannot be done however the weights are
    /// kept, and those of the plan.
    pub fn before_fetching(&self, config: &ModelConfig, lengths: &[FileLength]) -> Result<Option<String>> {
        let bytes = lengths.iter().map(|file| file.bytes).sum();
        let machine = self.machine();
        let mut refused = None;
        for storage in self.storages(storage_for(self.storage(), bytes, self.on_gpu())) {
            let plan = (self.planned)(config, WeightBytes::at_least(lengths, storage), !self.on_gpu())?;
            match plan.check(&machine) {
                Ok(_) => {
                    let said = || format!("using it takes {}{}", plan.sentence(), free(&machine));
                    return Ok((plan.peak() > WORTH_PRINTING).then(said));
                }
                Err(error) => refused = Some(error),
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// What the job will take of the memory with these weights, if that is worth a sentence, and a warning where it is
    /// tight.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`](crate::Error::TooLittleMemory) if the work cannot be done.
    pub fn before_loading(
        &self,
        config: &ModelConfig,
        weights: WeightBytes,
    ) -> Result<(Option<String>, Option<String>)> {
        let plan = (self.planned)(config, weights, !self.on_gpu())?;
        let machine = self.machine();
        let tight = plan.check(&machine)?;
        let said = tight.is_none() && plan.peak() > WORTH_PRINTING;
        Ok((said.then(|| format!("this will need {}{}", plan.sentence(), free(&machine))), tight))
    }

    /// What the device has to give, as far as that is known.
    fn machine(&self) -> Machine {
        if failpoints::pass("memory").is_some() {
            return Machine { free: Some(0), largest_buffer: None };
        }
        // What the device that computes nothing is given stays in the processor's memory.
        if !self.on_gpu() || noop::is(&self.device.device) {
            return Machine::processor();
        }
        let adapter = gpu::adapters().into_iter().find(|adapter| adapter.info.name == self.device.name);
        let limits = adapter.as_ref().map(|adapter| &adapter.limits);
        let largest_buffer = limits.map(|limits| limits.max_buffer_size.min(limits.max_storage_buffer_binding_size));
        // What shares the processor's memory has no more than that; how much other GPUs have free cannot be asked.
        let free = adapter.as_ref().filter(|adapter| adapter.shares_memory()).and(Machine::processor().free);
        Machine { free, largest_buffer }
    }
}

/// What is free, as the end of a sentence.
fn free(machine: &Machine) -> String {
    machine.free.map_or_else(String::new, |free| format!("; {} are free", size(free)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;
    use crate::gpu::DeviceChoice;

    #[test]
    fn what_is_needed_and_what_is_free_is_known_before_a_model_of_this_computer_is_loaded() {
        let device = gpu::choose(DeviceChoice::Cpu).unwrap();
        let settings = TrainConfig::default();
        let planned =
            |config: &ModelConfig, weights, on_cpu| crate::train::memory_plan(&settings, config, weights, 1, on_cpu);
        let outlook = Outlook {
            device: &device,
            precision: Precision::default(),
            weights: WeightStorage::Auto,
            planned: &planned,
        };
        let config = pollster::block_on(ModelConfig::read(&crate::mini::source())).unwrap();
        let said = |unet| outlook.before_loading(&config, WeightBytes { unet, ..WeightBytes::default() });
        // Where even that is tight, the warning has both.
        let (sentence, tight) = said(600 << 20).unwrap();
        let said_so = sentence.or(tight).unwrap();
        assert!(said_so.contains("629 MB of weights"), "{said_so}");
        assert_eq!(said_so.contains(" are free"), Machine::processor().free.is_some(), "{said_so}");
        assert_eq!(said(1 << 20).unwrap().0, None, "not worth a sentence");
        // Narrower weights are looked at only where the user left it open.
        assert_eq!(outlook.storages(Storage::AsFile), [Storage::AsFile, Storage::F16, Storage::Q8]);
        assert_eq!(outlook.storages(Storage::F16), [Storage::F16, Storage::Q8]);
        let outlook = Outlook { weights: WeightStorage::F32, ..outlook };
        assert_eq!(outlook.storages(Storage::F32), [Storage::F32]);
    }
}
