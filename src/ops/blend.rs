//! Weighted sums of tensors that no gradient goes through: a sampler's arithmetic.

use burn::tensor::Tensor;

use super::{Backend, wgsl};

/// A weighted sum of tensors of one shape. On a GPU it is made all at once when its value is asked for; elsewhere each step
/// is.
#[derive(Debug, Clone)]
pub struct Blend<const D: usize> {
    /// The tensors and their weights; a single one with the weight 1 where each step is made.
    terms: Vec<(Tensor<D>, f64)>,
    at_once: bool,
}

/// Multiplies by a coefficient, in f32: GPUs have no f64.
fn scaled<const D: usize>(tensor: &Tensor<D>, coefficient: f64) -> Tensor<D> {
    if coefficient == 1.0 { tensor.clone() } else { tensor.clone().mul_scalar(coefficient as f32) }
}

impl<const D: usize> Blend<D> {
    /// A tensor times a weight.
    pub fn of(tensor: &Tensor<D>, weight: f64) -> Self {
        match Backend::of(tensor) {
            Backend::Wgpu => Self { terms: vec![(tensor.clone(), weight)], at_once: true },
            _ => Self::made(scaled(tensor, weight)),
        }
    }

    fn made(value: Tensor<D>) -> Self {
        Self { terms: vec![(value, 1.0)], at_once: false }
    }

    /// All of it times a weight.
    pub fn times(mut self, weight: f64) -> Self {
        if !self.at_once {
            return Self::made(scaled(&self.value(), weight));
        }
        self.terms.iter_mut().for_each(|(_, own)| *own *= weight);
        self
    }

    /// The sum of both.
    pub fn plus(mut self, other: Self) -> Self {
        if !self.at_once {
            return Self::made(self.value() + other.value());
        }
        for (tensor, weight) in other.terms {
            match self.terms.iter_mut().find(|(known, _)| wgsl::is_same_tensor(known, &tensor)) {
                Some((_, known)) => *known += weight,
                None => self.terms.push((tensor, weight)),
            }
        }
        self
    }

    /// The sum.
    pub fn value(&self) -> Tensor<D> {
        sum(&self.terms)
    }
}

fn sum<const D: usize>(terms: &[(Tensor<D>, f64)]) -> Tensor<D> {
    if let [(only, 1.0)] = terms {
        return only.clone();
    }
    let weighted: Vec<(Tensor<D>, f32)> = terms.iter().map(|(term, weight)| (term.clone(), *weight as f32)).collect();
    let composed = || terms.iter().map(|(term, weight)| scaled(term, *weight)).reduce(|a, b| a + b);
    wgsl::blend(&weighted, 1).or_else(composed).expect("a blend has a term")
}

/// A tensor twice, along the first axis.
pub fn twice<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    let once = || Tensor::cat(vec![tensor.clone(); 2], 0);
    match Backend::of(tensor) {
        Backend::Wgpu => wgsl::blend(&[(tensor.clone(), 1.0)], 2).unwrap_or_else(once),
        _ => once(),
    }
}

/// A prediction led away from that for another prompt: from `plain` through `conditioned`, as far as `guidance` says.
pub fn guided<const D: usize>(plain: &Tensor<D>, conditioned: &Tensor<D>, guidance: f64) -> Tensor<D> {
    match Backend::of(plain) {
        Backend::Wgpu => Blend::of(plain, 1.0 - guidance).plus(Blend::of(conditioned, guidance)).value(),
        _ => plain.clone() + (conditioned.clone() - plain.clone()) * guidance,
    }
}
