//! Reverse-mode differentiation through a frozen network.
//!
//! Only a handful of rows ever need a gradient; every weight is a constant. So an op records nothing unless one of its
//! inputs leads back to those rows, and what it records is just what its own backward needs: a convolution or a linear
//! layer with frozen weights keeps no activation at all. (Burn's autodiff keeps the input of every convolution and
//! several tensors for each normalisation; `ARCHITECTURE.md` has the reasons.)
//!
//! A [`Var`] is a tensor with an optional link to how it was made. [`backward`] walks those links from the loss; what a
//! link holds is freed as soon as it was used. [`recompute`] makes a whole block one link that remembers only the
//! block's inputs and runs the block again when its gradient is needed.

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use burn::tensor::Tensor;

type Pullback = Box<dyn FnOnce(Box<dyn Any>, &mut Gradients)>;

/// How a value was made: its place in the order of work, what it was made from, and what to do with its gradient.
pub struct Node {
    id: u64,
    inputs: Vec<Rc<Node>>,
    /// Taken once, by [`backward`]. A leaf has none: its gradient stays in [`Gradients`].
    pullback: Cell<Option<Pullback>>,
}

impl Node {
    fn new(inputs: Vec<Rc<Node>>, pullback: Option<Pullback>) -> Rc<Self> {
        thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
        let id = NEXT.with(|next| next.replace(next.get() + 1));
        Rc::new(Self { id, inputs, pullback: Cell::new(pullback) })
    }
}

/// A tensor that remembers how it was made, if a gradient is wanted through it.
#[derive(Clone)]
pub struct Var<const D: usize> {
    value: Tensor<D>,
    link: Link<D>,
}

/// A handle to the place where the gradient of a rank-`D` value is collected; empty for constants.
#[derive(Clone)]
pub struct Link<const D: usize>(Option<Rc<Node>>);

impl<const D: usize> Link<D> {
    /// Whether anything would be done with a gradient given to this link.
    pub fn is_tracked(&self) -> bool {
        self.0.is_some()
    }
}

/// A value of any rank that another can be made from.
pub trait Origin {
    /// How it was made; none for a constant.
    fn node(&self) -> Option<Rc<Node>>;
}

impl<const D: usize> Origin for Var<D> {
    fn node(&self) -> Option<Rc<Node>> {
        self.link.0.clone()
    }
}

impl<const D: usize> From<Tensor<D>> for Var<D> {
    fn from(value: Tensor<D>) -> Self {
        Self::constant(value)
    }
}

impl<const D: usize> Var<D> {
    /// A value without a history: no gradient goes through it.
    pub fn constant(value: Tensor<D>) -> Self {
        Self { value, link: Link(None) }
    }

    /// A value whose gradient is wanted.
    pub fn leaf(value: Tensor<D>) -> Self {
        Self { value, link: Link(Some(Node::new(Vec::new(), None))) }
    }

    /// The result of an op on `inputs`. `pullback` gets the gradient of this value and gives each input its share; it
    /// is dropped at once if no input is tracked, and with it everything it holds.
    pub fn from_op(
        value: Tensor<D>,
        inputs: &[&dyn Origin],
        pullback: impl FnOnce(Tensor<D>, &mut Gradients) + 'static,
    ) -> Self {
        let nodes: Vec<_> = inputs.iter().filter_map(|input| input.node()).collect();
        if nodes.is_empty() {
            return Self::constant(value);
        }
        let pullback: Pullback = Box::new(move |gradient, gradients| pullback(unpack(gradient), gradients));
        Self { value, link: Link(Some(Node::new(nodes, Some(pullback)))) }
    }

    /// The result of an op on `x` to which a `residual` was added, if there is one: that gets the gradient as it is.
    pub(super) fn from_op_added(
        value: Tensor<D>,
        x: &dyn Origin,
        residual: Option<&Var<D>>,
        pullback: impl FnOnce(Tensor<D>, &mut Gradients) + 'static,
    ) -> Self {
        let Some(residual) = residual else { return Self::from_op(value, &[x], pullback) };
        let link = residual.link();
        Self::from_op(value, &[x, residual], move |dy, gradients| {
            gradients.add_beside(&link, dy.clone());
            pullback(dy, gradients);
        })
    }

    /// The results of one op on `inputs`. `pullback` gets the gradients of all of them at once: none for a result that the loss
    /// does not depend on.
    pub(super) fn from_op_with_results(
        values: Vec<Tensor<D>>,
        inputs: &[&dyn Origin],
        pullback: impl FnOnce(Vec<Option<Tensor<D>>>, &mut Gradients) + 'static,
    ) -> Vec<Self> {
        let nodes: Vec<_> = inputs.iter().filter_map(|input| input.node()).collect();
        if nodes.is_empty() {
            return values.into_iter().map(Self::constant).collect();
        }
        let pullback: Pullback = Box::new(move |collected, gradients| {
            pullback(*collected.downcast().expect("what the results have put there"), gradients);
        });
        // Older than the results, so its turn comes when all of them have had theirs.
        let all = Node::new(nodes, Some(pullback));
        let count = values.len();
        let result = |(i, value): (usize, Tensor<D>)| {
            let at = all.id;
            let pullback: Pullback = Box::new(move |gradient, gradients| {
                let collected = gradients.0.entry(at).or_insert_with(|| Box::new(vec![None::<Tensor<D>>; count]));
                let collected = collected.downcast_mut::<Vec<Option<Tensor<D>>>>().expect("nothing else is put there");
                collected[i] = Some(unpack(gradient));
            });
            Self { value, link: Link(Some(Node::new(vec![all.clone()], Some(pullback)))) }
        };
        values.into_iter().enumerate().map(result).collect()
    }

    /// The tensor.
    pub fn value(&self) -> &Tensor<D> {
        &self.value
    }

    /// The tensor, without its history.
    pub fn into_value(self) -> Tensor<D> {
        self.value
    }

    /// Where this value's gradient goes.
    pub fn link(&self) -> Link<D> {
        self.link.clone()
    }

    /// Whether a gradient is wanted through this value.
    pub fn is_tracked(&self) -> bool {
        self.link.is_tracked()
    }

    /// The sizes of the tensor.
    pub fn dims(&self) -> [usize; D] {
        self.value.dims()
    }

    /// The same elements in another shape.
    pub fn reshape<const E: usize>(&self, shape: [usize; E]) -> Var<E> {
        let (from, link) = (self.dims(), self.link());
        Var::from_op(self.value.clone().reshape(shape), &[self], move |dy, gradients| {
            gradients.add(&link, || dy.reshape(from));
        })
    }

    /// The value times a number.
    pub fn scaled(&self, factor: f64) -> Var<D> {
        let link = self.link();
        Var::from_op(self.value.clone() * factor, &[self], move |dy, gradients| gradients.add(&link, || dy * factor))
    }

    /// Sum of two values of the same shape.
    pub fn add(&self, other: &Var<D>) -> Var<D> {
        let (a, b) = (self.link(), other.link());
        Var::from_op(self.value.clone() + other.value.clone(), &[self, other], move |dy, gradients| {
            gradients.add(&a, || dy.clone());
            gradients.add(&b, || dy);
        })
    }
}

impl Var<4> {
    /// Adds a constant to each channel of each sample: `[B, H, W, C]` and `[B, C]`.
    pub fn shift_channels(&self, shift: Tensor<2>) -> Var<4> {
        let [batch, channels] = shift.dims();
        let link = self.link();
        let y = self.value.clone() + shift.reshape([batch, 1, 1, channels]);
        Var::from_op(y, &[self], move |dy, gradients| gradients.add(&link, || dy))
    }
}

/// What a value's gradient came to by now.
struct Collected<const D: usize> {
    sum: Tensor<D>,
    /// What is still to be added: an op that adds to what was collected may add both at once.
    beside: Option<Tensor<D>>,
}

impl<const D: usize> Collected<D> {
    fn of(gradient: Box<dyn Any>) -> Self {
        *gradient.downcast::<Self>().expect("a link's gradient has the rank of its value")
    }

    fn total(self) -> Tensor<D> {
        match self.beside {
            Some(beside) => self.sum + beside,
            None => self.sum,
        }
    }
}

fn unpack<const D: usize>(gradient: Box<dyn Any>) -> Tensor<D> {
    Collected::of(gradient).total()
}

/// Gradients that are still being summed, by the value that they belong to.
#[derive(Default)]
pub struct Gradients(HashMap<u64, Box<dyn Any>>);

impl Gradients {
    /// Adds a share to what a value has collected. The share is only computed if the value wants one.
    pub fn add<const D: usize>(&mut self, link: &Link<D>, share: impl FnOnce() -> Tensor<D>) {
        self.add_onto(link, |collected| match collected {
            Some(collected) => collected + share(),
            None => share(),
        });
    }

    /// As [`Gradients::add`], where a share can be computed on top of what was collected: `total` gets that, if there
    /// is any, and gives the sum.
    pub fn add_onto<const D: usize>(&mut self, link: &Link<D>, total: impl FnOnce(Option<Tensor<D>>) -> Tensor<D>) {
        self.add_onto_both(link, |collected| total(collected.map(Collected::total)));
    }

    /// As [`Gradients::add_onto`], where `total` can add two tensors to its own: what was collected, and what is beside it.
    pub(super) fn add_onto_two<const D: usize>(
        &mut self,
        link: &Link<D>,
        total: impl FnOnce([Option<Tensor<D>>; 2]) -> Tensor<D>,
    ) {
        self.add_onto_both(link, |collected| match collected {
            Some(Collected { sum, beside }) => total([Some(sum), beside]),
            None => total([None, None]),
        });
    }

    fn add_onto_both<const D: usize>(&mut self, link: &Link<D>, total: impl FnOnce(Option<Collected<D>>) -> Tensor<D>) {
        let Some(node) = &link.0 else { return };
        let sum = total(self.0.remove(&node.id).map(Collected::of));
        self.0.insert(node.id, Box::new(Collected { sum, beside: None }));
    }

    /// Adds a share that is there already, later: most often to what the next op adds.
    fn add_beside<const D: usize>(&mut self, link: &Link<D>, share: Tensor<D>) {
        let Some(node) = &link.0 else { return };
        let collected = match self.0.remove(&node.id).map(Collected::of) {
            Some(collected) => Collected { sum: collected.total(), beside: Some(share) },
            None => Collected { sum: share, beside: None },
        };
        self.0.insert(node.id, Box::new(collected));
    }

    /// The gradient of a leaf, if the loss depends on it.
    pub fn take<const D: usize>(&mut self, leaf: &Var<D>) -> Option<Tensor<D>> {
        let node = leaf.link.0.as_ref()?;
        self.0.remove(&node.id).map(unpack)
    }
}

/// Propagates `gradient`, that of some loss with respect to `output`, back to every leaf that `output` depends on.
///
/// Each link can be walked once: values made from the same ops cannot be differentiated a second time.
pub fn backward<const D: usize>(output: &Var<D>, gradient: Tensor<D>) -> Gradients {
    let mut gradients = Gradients::default();
    let Some(root) = &output.link.0 else { return gradients };
    gradients.add(&output.link, || gradient);

    // Ids grow in the order of work, so the largest id that is left depends on no other that is left.
    let mut open = BTreeMap::from([(root.id, root.clone())]);
    while let Some((id, node)) = open.pop_last() {
        for input in &node.inputs {
            open.insert(input.id, input.clone());
        }
        if let Some(pullback) = node.pullback.take()
            && let Some(collected) = gradients.0.remove(&id)
        {
            pullback(collected, &mut gradients);
        }
    }
    gradients
}

/// A fresh start for a value whose gradient goes to `link`.
fn restarted<const D: usize>(value: Tensor<D>, link: &Link<D>) -> Var<D> {
    if link.is_tracked() { Var::leaf(value) } else { Var::constant(value) }
}

/// [`recompute`] of a block that does with each row of `x` `[B, N, C]` the same, for so many rows at a time: neither
/// direction holds more than these rows' values.
pub fn recompute_rows(x: &Var<3>, rows: usize, block: impl Fn(&Var<3>) -> Var<3> + 'static) -> Var<3> {
    let dims @ [batch, length, width] = x.dims();
    let flat = x.value.clone().reshape([1, batch * length, width]);
    let parts = move |all: &Tensor<3>, each: &mut dyn FnMut(usize, Tensor<3>) -> Tensor<3>| {
        let count = all.dims()[1];
        let part = |first: usize| each(first, all.clone().narrow(1, first, rows.min(count - first)));
        Tensor::cat((0..count).step_by(rows).map(part).collect(), 1)
    };
    let value = parts(&flat, &mut |_, part| block(&Var::constant(part)).into_value());
    let [_, _, outputs] = value.dims();
    let link = x.link();
    Var::from_op(value.reshape([batch, length, outputs]), &[x], move |dy, gradients| {
        let dy = dy.reshape([1, batch * length, outputs]);
        gradients.add(&link, || {
            let dx = parts(&flat, &mut |first, part| {
                let (part, count) = (Var::leaf(part.clone()), part.dims()[1]);
                let gradient = dy.clone().narrow(1, first, count);
                let zeros = || Tensor::zeros(part.dims(), &part.value().device());
                backward(&block(&part), gradient).take(&part).unwrap_or_else(zeros)
            });
            dx.reshape(dims)
        });
    })
}

/// Runs a block so that it remembers only its inputs, and is run again when its gradient is needed.
///
/// `block` maps `(x, context, shift)` to a value; one that needs fewer is given the same value more than once. Memory for the
/// backward pass is then one block's, at any depth, for about one more forward pass of work.
pub fn recompute<const A: usize, const B: usize, const C: usize, const D: usize>(
    (x, context, shift): (&Var<A>, &Var<B>, &Var<C>),
    block: impl Fn(&Var<A>, &Var<B>, &Var<C>) -> Var<D> + 'static,
) -> Var<D> {
    let values = (x.value.clone(), context.value.clone(), shift.value.clone());
    let (a, b, c) = values.clone();
    let value = block(&Var::constant(a), &Var::constant(b), &Var::constant(c)).into_value();
    let links = (x.link(), context.link(), shift.link());
    Var::from_op(value, &[x, context, shift], move |dy, gradients| {
        let x = restarted(values.0, &links.0);
        let context = restarted(values.1, &links.1);
        let shift = restarted(values.2, &links.2);
        let mut inner = backward(&block(&x, &context, &shift), dy);
        pass_on(&mut inner, &x, &links.0, gradients);
        pass_on(&mut inner, &context, &links.1, gradients);
        pass_on(&mut inner, &shift, &links.2, gradients);
    })
}

/// Gives the gradient that a value got inside of a block to where it belongs outside.
fn pass_on<const D: usize>(inner: &mut Gradients, value: &Var<D>, link: &Link<D>, outer: &mut Gradients) {
    if let Some(gradient) = inner.take(value) {
        outer.add(link, || gradient);
    }
}
