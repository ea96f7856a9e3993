//! What a kernel reads from its uniform buffer, as a struct: the same fields as `struct Sizes` in its text.

use bytemuck::Pod;

/// The struct in the uniform buffer of a kernel, made by [`uniform_sizes!`]; `tests/shaders` holds it against the
/// shader's.
pub(super) trait UniformSizes: Pod {
    /// The fields, in order.
    const FIELDS: &'static [SizesField];
}

/// A field of a kernel's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizesField {
    /// Its name, in Rust and in WGSL.
    pub name: &'static str,
    /// `u32` or `f32`.
    pub kind: &'static str,
    /// Bytes before it.
    pub offset: usize,
}

/// Declares the sizes of a kernel.
macro_rules! uniform_sizes {
    ($(#[$about:meta])* struct $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ident,)* }) => {
        $(#[$about])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        pub(in crate::ops::wgsl) struct $name {
            $($(#[$field_about])* $field: $kind,)*
        }

        impl $crate::ops::wgsl::uniform::UniformSizes for $name {
            const FIELDS: &'static [$crate::ops::wgsl::uniform::SizesField] = &[$(
                $crate::ops::wgsl::uniform::SizesField {
                    name: stringify!($field),
                    kind: stringify!($kind),
                    offset: std::mem::offset_of!($name, $field),
                },
            )*];
        }
    };
}
pub(super) use uniform_sizes;

/// The words of a uniform buffer, filled up to a multiple of sixteen bytes.
pub(super) fn words<S: UniformSizes>(sizes: &S) -> Vec<u32> {
    let mut words: Vec<u32> = bytemuck::cast_slice(bytemuck::bytes_of(sizes)).to_vec();
    words.resize(words.len().next_multiple_of(4), 0);
    words
}
