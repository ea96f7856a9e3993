//! Sending a weight to the device, in the form in which it is kept.

use burn::tensor::DType;

use super::arrival::Ends;
use super::finite::{broken_scales, not_finite};
use super::upload::{JointBuffer, SharedBuffer, Upload};
use super::values::{SCALE_BYTES, channels_last, converted, from_eight_bits, in_eight_bits};
use super::{Files, Filter, Joint, Layout, Location, PIECE, Storage, Stored, Weights};
use crate::base::eight_bits::BLOCK;
use crate::ops::{Weight, settle};
use crate::parts::Part;
use crate::{Error, Result, gpu};

/// Bytes of weights that may be on their way to the device.
const IN_FLIGHT: usize = 32 << 20;

impl Weights<'_> {
    /// Sends a weight in pieces of whole rows, those of a convolution channels last.
    pub(super) async fn deliver<const D: usize>(
        &self,
        path: &str,
        location: &Location<'_>,
        layout: Layout<'_, D>,
    ) -> Result<Weight<D>> {
        let checked = self.file.arrival.wants() && !gpu::computes_nothing(&self.file.device);
        let mut ends = checked.then(Ends::default);
        let sent = match self.try_send((path, location), location.storage, layout, &mut ends).await? {
            Some(weight) => weight,
            // What it is to be kept in does not have one of its values.
            None => {
                ends = ends.map(|_| Ends::default());
                let sent = self.try_send((path, location), Storage::AsFile, layout, &mut ends).await?;
                // Products in f16 could not hold that value either.
                sent.ok_or_else(|| Error::Internal(format!("{path} cannot be kept as it is")))?.exact()
            }
        };
        if let Some(ends) = ends {
            self.file.arrival.note(path.to_owned(), ends, sent.clone());
        }
        // Uploads that the device has not taken yet stay in memory, and nothing else limits them.
        let bytes = layout.shape.iter().product::<usize>() * sent.dtype().size();
        let in_flight = self.file.in_flight.get() + bytes;
        self.file.in_flight.set(if in_flight > IN_FLIGHT { 0 } else { in_flight });
        if in_flight > IN_FLIGHT {
            settle(&sent.some(0..1)).await?;
        }
        // The autoencoder's activations leave f16's range in some models, and its pictures show rounding.
        Ok(if self.file.part == Part::Vae { sent.exact() } else { sent })
    }

    /// Sends a weight to be kept in this way; none if it has values that cannot be kept so.
    async fn try_send<const D: usize>(
        &self,
        (path, location): (&str, &Location<'_>),
        storage: Storage,
        layout @ Layout { shape, filter, .. }: Layout<'_, D>,
        ends: &mut Option<Ends>,
    ) -> Result<Option<Weight<D>>> {
        let Location { shard, span, dtype, .. } = location;
        let (rows, stored) = (shape[0], Stored::of(dtype, storage));
        let row = (span.end - span.start) / rows as u64;
        // Four rows of halves, or of scales, are a multiple of four bytes, however odd they are.
        let rows_in_piece = (PIECE / row.max(1)).max(1).next_multiple_of(4);
        let mut sending = Sending::new(&self.file, stored, layout, rows as u64 > rows_in_piece);
        let scales = self.file.scales(location).await?;
        let mut broken = broken_scales(scales.as_deref());
        let mut from = span.start;
        while from < span.end {
            let to = span.end.min(from + rows_in_piece * row);
            let piece = self.file.read(shard, from..to).await?;
            broken += not_finite(&piece, dtype);
            let their_scales = scales.as_ref().map(|scales| {
                let part = [from, to].map(|place| (place - span.start) as usize / BLOCK * SCALE_BYTES);
                scales[part[0]..part[1]].to_vec()
            });
            let ordered = |bytes: &mut [u8], size| {
                if let Some(Filter { inputs, taps }) = filter {
                    channels_last(bytes, size, inputs, taps);
                }
            };
            let Some(piece) = Piece::new((piece, dtype), their_scales, stored, ordered) else { return Ok(None) };
            sending.push(piece, ends)?;
            from = to;
        }
        self.file.note_broken(path, location, broken);
        Ok(Some(sending.finish(&self.file, shape)))
    }
}

/// Some rows of a weight, as they will be stored.
enum Piece {
    /// Values, and the bytes of each.
    Floats(Vec<u8>, usize),
    /// Values in eight bits, and their scales.
    Blocks([Vec<u8>; 2]),
}

impl Piece {
    /// Of bytes from a file, with their type, and the scales of values in eight bits; none if they cannot be stored so.
    /// `ordered` brings values of so many bytes into the order that they have on the device.
    fn new(
        (mut bytes, dtype): (Vec<u8>, &str),
        scales: Option<Vec<u8>>,
        stored: Stored,
        ordered: impl Fn(&mut [u8], usize),
    ) -> Option<Self> {
        // Blocks are made of what lies together on the device.
        let float = if stored == Stored::Q8 { Stored::F32 } else { stored };
        let size = float.bytes_of(1) as usize;
        let bytes = match scales {
            Some(scales) => {
                ordered(&mut bytes, 1);
                if stored == Stored::Q8 {
                    return Some(Piece::Blocks([bytes, scales]));
                }
                converted(from_eight_bits(&bytes, &scales), "F32", float)?
            }
            None => {
                let mut bytes = converted(bytes, dtype, float)?;
                ordered(&mut bytes, size);
                bytes
            }
        };
        Some(if stored == Stored::Q8 { Piece::Blocks(in_eight_bits(&bytes)?) } else { Piece::Floats(bytes, size) })
    }
}

/// A weight on its way, as it will be stored.
enum Sending {
    Floats(Stored, Whole),
    /// Values in eight bits, and their scales.
    Quantised([Whole; 2]),
}

/// What becomes one tensor on the device.
struct Whole {
    upload: Upload,
    bytes: usize,
}

impl Sending {
    /// Makes room for a weight; `pieces` says whether it will come in more than one.
    fn new<const D: usize>(files: &Files<'_>, stored: Stored, layout: Layout<'_, D>, pieces: bool) -> Self {
        let Layout { shape, joint, .. } = layout;
        let (rows, values) = (shape[0], shape.iter().product::<usize>());
        let whole =
            |bytes, what, dtype| Whole { upload: files.upload([rows, bytes], (joint, what), dtype, pieces), bytes };
        match stored {
            Stored::F32 => Sending::Floats(stored, whole(4 * values, "values", DType::F32)),
            Stored::F16 => Sending::Floats(stored, whole(2 * values, "values", DType::F16)),
            Stored::Q8 => Sending::Quantised([
                whole(values, "values", DType::I8),
                whole(2 * values / BLOCK, "scales", DType::F16),
            ]),
        }
    }

    fn push(&mut self, piece: Piece, ends: &mut Option<Ends>) -> Result<()> {
        if let Some(ends) = ends {
            match &piece {
                Piece::Floats(bytes, size) => ends.push(bytes, *size),
                Piece::Blocks([numbers, scales]) => ends.push(&from_eight_bits(numbers, scales), size_of::<f32>()),
            }
        }
        match (self, piece) {
            (Sending::Floats(_, whole), Piece::Floats(bytes, _)) => whole.push(bytes),
            (Sending::Quantised([values, scales]), Piece::Blocks([numbers, their_scales])) => {
                values.push(numbers)?;
                scales.push(their_scales)
            }
            _ => Err(Error::Internal("pieces are as they are stored".to_owned())),
        }
    }

    fn finish<const D: usize>(self, files: &Files<'_>, shape: [usize; D]) -> Weight<D> {
        let device = &files.device;
        match self {
            Sending::Floats(stored, whole) => Weight::new(whole.upload.finish(device, stored.dtype(), shape)),
            Sending::Quantised([values, scales]) => {
                let mut blocks = shape;
                blocks[D - 1] /= BLOCK;
                let scales = scales.upload.finish(device, DType::F16, blocks);
                Weight::quantised(values.upload.finish_whole_numbers(device, shape), scales)
            }
        }
    }
}

impl Whole {
    fn push(&mut self, piece: Vec<u8>) -> Result<()> {
        self.upload.push(piece, self.bytes)
    }
}

impl Files<'_> {
    /// Where so many rows of a weight go, of so many bytes altogether.
    fn upload(
        &self,
        [rows, bytes]: [usize; 2],
        (joint, what): (Option<&Joint>, &str),
        dtype: DType,
        pieces: bool,
    ) -> Upload {
        let place = joint.and_then(|joint| self.place((joint, what), bytes / rows, dtype));
        let place = place.or_else(|| SharedBuffer::upload(&mut self.shared.borrow_mut(), &self.device, bytes));
        place.unwrap_or_else(|| Upload::new(&self.device, bytes, pieces))
    }

    /// Where a weight goes that has others beside it; none if it goes somewhere of its own.
    ///
    /// `bytes` are those of a row.
    fn place(&self, (joint, what): (&Joint, &str), bytes: usize, dtype: DType) -> Option<Upload> {
        let mut joints = self.joints.borrow_mut();
        let new = || JointBuffer::new(&self.device, joint.total, bytes, dtype);
        let buffer = joints.entry(format!("{}: {what}", joint.whole)).or_insert_with(new);
        buffer.as_ref()?.upload(joint.rows.clone(), bytes, dtype)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use half::f16;
    use serde_json::json;

    use super::*;
    use crate::base::eight_bits::{quantised, widened};
    use crate::noise::{Noise, Stream};
    use crate::source::Memory;

    /// Numbers that a half has, so that every type of a file holds them.
    fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let normals = Noise::new(seed).draws(0, Stream::Init).normals(count);
        normals.into_iter().map(|value| f16::from_f32(value).to_f32()).collect()
    }

    /// A safetensors file of weights: names, shapes, whether in f16, values.
    fn file(weights: &[(&str, &[usize], bool, Vec<f32>)]) -> Vec<u8> {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, shape, half, values) in weights {
            let begin = data.len();
            if *half {
                data.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()));
            } else {
                data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            let dtype = if *half { "F16" } else { "F32" };
            header.insert(
                (*name).to_owned(),
                json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]}),
            );
        }
        let header = serde_json::Value::Object(header).to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }

    fn in_blocks(values: &[f32]) -> Vec<f32> {
        let blocks = values.as_chunks::<BLOCK>().0.iter().map(|block| quantised(block).unwrap());
        blocks.flat_map(|(scale, block)| widened(scale, block)).collect()
    }

    #[test]
    fn matrices_are_kept_in_eight_bits_where_they_can_be() {
        let device = &crate::gpu::cpu();
        let (layer, conv) = (numbers(1, 4 * 64), numbers(2, 2 * 32 * 9));
        let (odd, bias) = (numbers(3, 3 * 20), numbers(4, 4));
        let mut large = numbers(5, 32);
        large[7] = 70_000.0;
        let bytes = file(&[
            ("layer.weight", &[4, 64], false, layer.clone()),
            ("layer.bias", &[4], false, bias.clone()),
            ("conv.weight", &[2, 32, 3, 3], true, conv.clone()),
            ("conv.bias", &[2], true, vec![1.0, 2.0]),
            ("conv_out.weight", &[2, 32, 3, 3], true, conv.clone()),
            ("conv_out.bias", &[2], true, vec![1.0, 2.0]),
            ("odd.weight", &[3, 20], false, odd.clone()),
            ("large.weight", &[1, 32], false, large.clone()),
        ]);
        let mut source = Memory::new("m");
        source.insert("unet/diffusion_pytorch_model.safetensors", bytes);
        let source = Rc::new(source);
        let mut quiet = |_| ();
        pollster::block_on(async {
            let weights = Weights::open(&*source, Part::Unet, device, Storage::Q8, &mut quiet).await.unwrap();
            let values = async |weight: &Weight<2>| crate::ops::read(weight.f32()).await.unwrap();
            let linear = weights.linear("layer", 64, 4, true).await.unwrap();
            assert_eq!(linear.weight.dtype(), DType::I8);
            assert_eq!(linear.bias.unwrap().dtype(), DType::F32);
            assert_eq!(values(&linear.weight).await, in_blocks(&layer));
            // Blocks lie along the channels of a tap.
            let last: Vec<f32> = (0..conv.len()).map(|i| conv[i / 288 * 288 + i % 32 * 9 + i / 32 % 9]).collect();
            let [small, end] = ["conv", "conv_out"].map(|name| weights.conv2d(name, [32, 2], 3, 1, [1; 4]));
            let (small, end) = (small.await.unwrap(), end.await.unwrap());
            assert_eq!((small.weight.dtype(), end.weight.dtype()), (DType::I8, DType::F16));
            assert_eq!(values(&small.weight).await, in_blocks(&last));
            assert_eq!(values(&end.weight).await, last);
            let odd_one = weights.linear("odd", 20, 3, false).await.unwrap().weight;
            assert_eq!((odd_one.dtype(), values(&odd_one).await), (DType::F16, odd));
            let large_one = weights.linear("large", 32, 1, false).await.unwrap().weight;
            assert_eq!((large_one.dtype(), values(&large_one).await), (DType::F32, large));
            assert!(large_one.is_exact() && !odd_one.is_exact());
            weights.finish().await.unwrap();
        });
    }

    #[test]
    fn tables_are_kept_in_eight_bits_and_the_autoencoder_is_not() {
        let rows = numbers(1, 5 * 64);
        let bytes = |name: &str| file(&[(name, &[5, 64], true, rows.clone())]);
        let mut source = Memory::new("m");
        source.insert("text_encoder/model.safetensors", bytes("token_embedding.weight"));
        source.insert("vae/diffusion_pytorch_model.safetensors", bytes("quant_conv.weight"));
        let source = Rc::new(source);
        let device = crate::gpu::cpu();
        let mut quiet = |_| ();
        pollster::block_on(async {
            let weights = Weights::open(&*source, Part::TextEncoder, &device, Storage::Q8, &mut quiet).await.unwrap();
            let table = weights.host_table("token_embedding.weight", 5, 64).await.unwrap();
            weights.finish().await.unwrap();
            assert_eq!((table.len(), table.width()), (5, 64));
            let got: Vec<f32> = (0..5).flat_map(|row| table.row(row)).collect();
            assert_eq!(got, in_blocks(&rows));
            assert_eq!(table.row(5), [0.0; 64], "beyond the end");
        });
        let mut quiet = |_| ();
        pollster::block_on(async {
            let weights = Weights::open(&*source, Part::Vae, &device, Storage::Q8, &mut quiet).await.unwrap();
            let layer = weights.linear("quant_conv", 64, 5, false).await.unwrap();
            assert_eq!((layer.weight.dtype(), layer.weight.is_exact()), (DType::F16, true));
        });
    }
}
