//! How a kernel is declared: once, for launching it, for the list of all its forms, and for the documentation.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::DType;
use burn_wgpu::{CubeDim, KernelSource, SourceKernel, SourceTemplate};
use cubecl::ir::ElemType;
use cubecl::prelude::{KernelDefinition, KernelId, KernelMetadata};
use cubecl::{CubeKernel, PrecompiledSource};
use sha2::{Digest, Sha256};

pub(super) use super::buffer::{Buffer, BufferFormat, Role, Row};
use super::source;
use super::uniform::{SizesField, UniformSizes};

/// Most buffers of a kernel: a WebGPU device need not allow more, with the uniform buffer beside them.
const MOST_BUFFERS: usize = 8;

/// A number that is filled into a kernel's text, and its name there.
pub(super) type Constant = (&'static str, u32);

/// What shapes a kernel's text besides how its buffers are stored: the tile of a product, the width of a head.
pub(super) trait Variant: Copy + PartialEq + Send + 'static {
    /// Every variant that may be launched.
    fn all() -> Vec<Self>;

    /// What is filled into the text.
    fn constants(self) -> Vec<Constant>;

    /// A part in `shaders/` that comes before the kernel's file, if the variant chooses one.
    fn part(self) -> Option<&'static str> {
        None
    }

    /// What tables call it.
    fn label(self) -> String {
        self.constants().iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// Whether GPUs that are hardware get it: if not, nobody asks whether it fits their registers.
    fn for_hardware(self) -> bool {
        true
    }

    /// Whether it computes with factors in f16, which a device must have passed a test for.
    fn computes_in_f16(self) -> bool {
        false
    }
}

/// Makes a type that wraps variants a variant itself: those of the wrapped ones that are given are all there are.
macro_rules! some_variants {
    ($name:ident, $all:expr) => {
        impl $crate::ops::wgsl::kernel::Variant for $name {
            fn all() -> Vec<Self> {
                $all.map(Self).collect()
            }

            fn constants(self) -> Vec<$crate::ops::wgsl::kernel::Constant> {
                self.0.constants()
            }

            fn part(self) -> Option<&'static str> {
                self.0.part()
            }

            fn label(self) -> String {
                self.0.label()
            }

            fn for_hardware(self) -> bool {
                self.0.for_hardware()
            }

            fn computes_in_f16(self) -> bool {
                self.0.computes_in_f16()
            }
        }
    };
}
pub(super) use some_variants;

/// The variant of a kernel that has only one.
impl Variant for () {
    fn all() -> Vec<Self> {
        vec![()]
    }

    fn constants(self) -> Vec<Constant> {
        Vec::new()
    }
}

/// A kernel: what its text and its launches have in common. `V` is what its variants differ in, `S` its sizes.
pub(super) struct Kernel<V, S> {
    /// The file in `shaders/`, without its ending.
    file: fn(V) -> &'static str,
    /// Invocations of a workgroup: `LANES` in the text.
    lanes: fn(V) -> u32,
    /// What is filled into the text of every variant.
    constants: &'static [Constant],
    /// In the order of the bindings, results last.
    buffers: &'static [Buffer],
    /// The forms that were launched: their texts are put together and hashed once.
    launched: Mutex<Vec<(V, Formats, Arc<LaunchedForm>)>>,
    sizes: PhantomData<fn(S)>,
}

/// How each buffer is stored; none after the last buffer.
type Formats = [BufferFormat; MOST_BUFFERS];

impl<V: Variant, S: UniformSizes> Kernel<V, S> {
    /// The kernel in this file of `shaders/`, with the buffers in the order of their bindings, results last.
    pub const fn new(
        file: fn(V) -> &'static str,
        lanes: fn(V) -> u32,
        constants: &'static [Constant],
        buffers: &'static [Buffer],
    ) -> Self {
        assert!(buffers.len() <= MOST_BUFFERS, "too many buffers");
        Self { file, lanes, constants, buffers, launched: Mutex::new(Vec::new()), sizes: PhantomData }
    }

    /// How the buffers are stored, for values of these types in rows as long as `axes`, the inputs first; none if values of
    /// such a type do not lie in such rows.
    ///
    /// Every form follows from this, listed or launched: none can be launched that is not in the list.
    fn formats(
        &self,
        storages: impl Iterator<Item = Option<DType>>,
        is_by_fours: impl Fn(usize) -> bool,
    ) -> Option<Formats> {
        let mut formats = [BufferFormat::None; MOST_BUFFERS];
        for ((format, Buffer { name, role, row }), storage) in formats.iter_mut().zip(self.buffers).zip(storages) {
            assert!(role.storages().contains(&storage), "{name} cannot be stored as {storage:?}");
            let by_fours = match row {
                Row::Axis(axis) => is_by_fours(*axis),
                Row::Fours => true,
                Row::Ones => false,
            };
            *format = BufferFormat::of(storage, by_fours)?;
        }
        Some(formats)
    }

    fn form(&self, variant: V, formats: Formats) -> Form {
        let mut constants = vec![("lanes", (self.lanes)(variant))];
        constants.extend(variant.constants());
        constants.extend(self.constants);
        let buffers = self.buffers.iter().copied().zip(formats).collect();
        Form {
            file: (self.file)(variant),
            part: variant.part(),
            variant: self.label(variant),
            for_hardware: variant.for_hardware(),
            computes_in_f16: variant.computes_in_f16(),
            buffers,
            constants,
            sizes: S::FIELDS,
            sizes_bytes: size_of::<S>(),
        }
    }

    /// What tables call a variant: what is the same in all of a kernel's says which of those with its file it is.
    fn label(&self, variant: V) -> String {
        let own = self.constants.iter().map(|(name, value)| format!("{name} {value}"));
        let label = Some(variant.label()).filter(|label| !label.is_empty());
        label.into_iter().chain(own).collect::<Vec<_>>().join(", ")
    }

    /// The form for inputs of these types in rows as long as `axes`.
    pub fn form_of(&self, variant: V, axes: &[usize], inputs: impl Iterator<Item = Option<DType>>) -> Form {
        self.form(variant, self.formats_of(axes, inputs))
    }

    fn formats_of(&self, axes: &[usize], inputs: impl Iterator<Item = Option<DType>>) -> Formats {
        // Results come after the inputs.
        let storages = inputs.chain(std::iter::repeat(Some(DType::F32)));
        let formats = self.formats(storages, |axis| axes[axis].is_multiple_of(4));
        formats.expect("what is quantised has rows of whole blocks")
    }

    /// The same, with its text's hash, which is made when the form is needed for the first time.
    pub fn launched_form(
        &self,
        variant: V,
        axes: &[usize],
        inputs: impl Iterator<Item = Option<DType>>,
    ) -> Arc<LaunchedForm> {
        let formats = self.formats_of(axes, inputs);
        let mut launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, form)) = launched.iter().find(|(known, stored, _)| *known == variant && *stored == formats) {
            return form.clone();
        }
        let form = Arc::new(LaunchedForm::new(self.form(variant, formats)));
        launched.push((variant, formats, form.clone()));
        form
    }
}

/// Any kernel, regardless of the types of its variants and sizes.
pub(super) trait Declared: Sync {
    /// Every form in which the kernel may be launched: each variant, with each way to store each of its buffers.
    fn forms(&self) -> Vec<Form>;

    /// The forms in which it was launched by now.
    fn launched(&self) -> Vec<Arc<LaunchedForm>>;
}

impl<V: Variant, S: UniformSizes> Declared for Kernel<V, S> {
    fn forms(&self) -> Vec<Form> {
        let axes = self.buffers.iter().filter_map(|buffer| match buffer.row {
            Row::Axis(axis) => Some(axis + 1),
            Row::Fours | Row::Ones => None,
        });
        let axes = axes.max().unwrap_or(0);
        let mut storages = vec![Vec::new()];
        for Buffer { role, .. } in self.buffers {
            let with = |before: Vec<_>| role.storages().iter().map(move |storage| [&before[..], &[*storage]].concat());
            storages = storages.into_iter().flat_map(with).collect();
        }
        let mut forms = Vec::new();
        for variant in V::all() {
            // One bit for each axis: whether its length is a multiple of four.
            for by_fours in (0..1u32 << axes).rev() {
                let formats = storages
                    .iter()
                    .filter_map(|storages| self.formats(storages.iter().copied(), |axis| by_fours >> axis & 1 == 1));
                forms.extend(formats.map(|formats| self.form(variant, formats)));
            }
        }
        forms
    }

    fn launched(&self) -> Vec<Arc<LaunchedForm>> {
        let launched = self.launched.lock().unwrap_or_else(PoisonError::into_inner);
        launched.iter().map(|(_, _, form)| form.clone()).collect()
    }
}

/// A kernel in one of the forms in which it may be launched: what its text follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    file: &'static str,
    /// What comes before the file.
    part: Option<&'static str>,
    variant: String,
    for_hardware: bool,
    computes_in_f16: bool,
    /// In the order of the bindings, results last.
    buffers: Vec<(Buffer, BufferFormat)>,
    constants: Vec<Constant>,
    sizes: &'static [SizesField],
    sizes_bytes: usize,
}

impl Form {
    /// The name of the file in `shaders/`, without its ending.
    pub fn name(&self) -> &'static str {
        self.file
    }

    /// What tables call the variant of the kernel: its tile, the width of its heads; nothing if there is only one.
    pub fn variant(&self) -> &str {
        &self.variant
    }

    /// Whether GPUs that are hardware get it. Others are for software GPUs alone.
    pub fn for_hardware(&self) -> bool {
        self.for_hardware
    }

    /// Whether it computes with factors in f16.
    pub(super) fn computes_in_f16(&self) -> bool {
        self.computes_in_f16
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut binding = 0;
        for (Buffer { name, role, .. }, format) in &self.buffers {
            let part = if *role == Role::Result { format.writer() } else { format.reader() };
            // The second one is that of the scales, where there are some.
            let (own, next) = (binding.to_string(), (binding + 1).to_string());
            text += &whole(&[part])
                .replace("{{ name }}", name)
                .replace("{{ binding }}", &own)
                .replace("{{ scales_binding }}", &next);
            binding += format.bindings();
        }
        let files: Vec<&str> = self.part.into_iter().chain([self.file]).collect();
        text += &whole(&files).replace("{{ sizes }}", &binding.to_string());
        source::fill(source::directives_first(&text), &self.constants)
    }

    /// The binding of the uniform buffer: after those of all others.
    pub fn uniform_binding(&self) -> u32 {
        self.buffers.iter().map(|(_, format)| format.bindings()).sum()
    }

    /// Invocations of a workgroup.
    pub fn lanes(&self) -> u32 {
        self.constants.iter().find(|(name, _)| *name == "lanes").map_or(0, |(_, lanes)| *lanes)
    }

    /// The fields of the struct in the uniform buffer.
    pub fn sizes(&self) -> &'static [SizesField] {
        self.sizes
    }

    /// Bytes of that struct.
    pub fn sizes_bytes(&self) -> usize {
        self.sizes_bytes
    }

    /// The buffers as the kernel declares them, in the order of their bindings.
    pub fn declared(&self) -> String {
        let described = |(Buffer { name, role, .. }, _): &(Buffer, _)| format!("{name} ({})", role.described());
        self.buffers.iter().map(described).collect::<Vec<_>>().join(", ")
    }

    /// How the buffers are stored in this form, and what was filled into the text.
    pub fn description(&self) -> String {
        let buffers =
            self.buffers.iter().map(|(Buffer { name, .. }, format)| format!("{name}: {}", format.described()));
        let constants = self.constants.iter().map(|(name, value)| format!("{name} = {value}"));
        buffers.chain(constants).collect::<Vec<_>>().join(", ")
    }

    /// SHA-256 of the text.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.text()).into()
    }
}

fn whole(paths: &[&str]) -> String {
    source::whole(paths).expect("every file can be put together: a test has done it")
}

/// A form that was launched, with all that a launch needs of it: made once.
#[derive(Debug)]
pub(super) struct LaunchedForm {
    pub form: Form,
    pub lanes: u32,
    pub uniform_binding: u32,
    /// How compiled kernels know it: by its text.
    id: KernelId,
}

impl LaunchedForm {
    fn new(form: Form) -> Self {
        let id = KernelId::new::<Form>().info(form.hash());
        Self { lanes: form.lanes(), uniform_binding: form.uniform_binding(), form, id }
    }
}

/// A form as the runtime below takes it.
#[derive(Debug, Clone)]
pub(super) struct FormSource(pub Arc<LaunchedForm>);

impl FormSource {
    fn template(&self) -> SourceKernel<Self> {
        SourceKernel::new(self.clone(), CubeDim::new_1d(self.0.lanes))
    }
}

impl KernelSource for FormSource {
    fn source(&self) -> SourceTemplate {
        SourceTemplate::new(self.0.form.text())
    }

    fn id(&self) -> KernelId {
        self.0.id.clone()
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

// Only for the name: a `SourceKernel` has that of its type, and whoever watches launches would see all kernels as one.
impl KernelMetadata for FormSource {
    fn name(&self) -> &'static str {
        self.0.form.name()
    }

    fn id(&self) -> KernelId {
        self.0.id.clone()
    }

    fn address_type(&self) -> ElemType {
        self.template().address_type()
    }
}

impl CubeKernel for FormSource {
    fn define(&self) -> KernelDefinition {
        self.template().define()
    }

    fn source(&self) -> Option<PrecompiledSource> {
        self.template().source()
    }
}

#[cfg(test)]
mod tests {
    use super::super::uniform::uniform_sizes;
    use super::*;

    uniform_sizes! {
        struct TestSizes {
            count: u32,
            scale: f32,
        }
    }

    fn kernel() -> Kernel<(), TestSizes> {
        Kernel::new(
            |()| "widen",
            |()| 256,
            &[],
            &[
                Buffer { name: "x", role: Role::Activation, row: Row::Axis(0) },
                Buffer { name: "weight", role: Role::OptionalFactor, row: Row::Axis(1) },
                Buffer { name: "result", role: Role::Result, row: Row::Axis(1) },
            ],
        )
    }

    #[test]
    fn what_is_launched_is_among_the_forms_and_prepared_once() {
        let kernel = kernel();
        let forms = kernel.forms();
        // Each of two axes in fours or not, and three ways to store the weight.
        assert_eq!(forms.len(), 4 * 3);
        for _ in 0..2 {
            for axes in [[4, 8], [4, 7], [3, 8], [5, 7]] {
                for weight in [None, Some(DType::F32), Some(DType::F16)] {
                    let launched = kernel.launched_form((), &axes, [Some(DType::F32), weight].into_iter());
                    assert!(forms.contains(&launched.form), "{}", launched.form.description());
                    assert_eq!(launched.id, KernelId::new::<Form>().info(launched.form.hash()));
                }
            }
        }
        assert_eq!(kernel.launched().len(), forms.len());
    }

    #[test]
    fn bindings_are_counted_without_those_that_are_missing() {
        let form = kernel().form_of((), &[4, 4], [Some(DType::F32), None].into_iter());
        assert_eq!(form.uniform_binding(), 2);
        assert_eq!(form.declared(), "x (f32), weight (f32, f16 or none), result (f32, written)");
        assert_eq!(form.description(), "x: f32 in fours, weight: none, result: f32 in fours, lanes = 256");
        assert_eq!((form.lanes(), form.sizes_bytes()), (256, 8));
    }

    #[test]
    #[should_panic(expected = "x cannot be stored as Some(F16)")]
    fn what_a_role_excludes_is_not_launched() {
        kernel().launched_form((), &[4, 4], [Some(DType::F16), None].into_iter());
    }
}
