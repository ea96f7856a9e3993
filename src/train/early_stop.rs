//! When to stop: the evaluation loss has settled (DVAR, arXiv 2302.04841).

use crate::config::TrainConfig;

/// Watches the loss of the fixed evaluation batch.
pub(super) struct EarlyStop {
    window: usize,
    threshold: f64,
    history: Vec<f64>,
}

impl EarlyStop {
    pub fn new(config: &TrainConfig) -> Self {
        let window = (config.early_stop_window as usize).max(2);
        Self { window, threshold: config.early_stop_threshold, history: Vec::new() }
    }

    /// The losses so far.
    pub fn history(&self) -> &[f64] {
        &self.history
    }

    /// Takes the losses of a run that resumes.
    pub fn restore(&mut self, history: Vec<f64>) {
        self.history = history;
    }

    /// Forgets all but the first losses.
    pub fn truncate(&mut self, losses: usize) {
        self.history.truncate(losses);
    }

    /// Takes an evaluation; gives the ratio of the window's variance to that of the whole history once it is below the
    /// threshold. Before the window is full the ratio counts as one, as in the authors' code.
    pub fn settled(&mut self, loss: f64) -> Option<f64> {
        self.history.push(loss);
        let recent = self.history.len().checked_sub(self.window)?;
        let ratio = variance(&self.history[recent..]) / variance(&self.history);
        (ratio < self.threshold).then_some(ratio)
    }
}

/// The population variance.
fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_loss_goes_on_and_a_flat_one_stops() {
        let config = TrainConfig { early_stop_window: 10, early_stop_threshold: 0.15, ..TrainConfig::default() };
        let mut falling = EarlyStop::new(&config);
        // On a straight line the ratio is (window / all)^2: it would count as settled after 26 evaluations.
        assert!((0..25).all(|i| falling.settled(1.0 - 0.02 * f64::from(i)).is_none()));
        let mut settling = EarlyStop::new(&config);
        let stop = (0..200).find(|i| settling.settled((-f64::from(*i) / 5.0).exp()).is_some());
        assert!(stop.is_some_and(|step| (10..60).contains(&step)), "{stop:?}");
    }
}
