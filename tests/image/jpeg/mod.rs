//! A JPEG encoder for tests: any sampling, any scans (ITU T.81), so that files are valid in ways that few programs write.

mod entropy;

use std::f64::consts::PI;

use image::RgbImage;

use entropy::{Code, Writer};

/// The order in which coefficients are written (T.81, figure A.6): the place in the block of each.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// One scan: which components, which coefficients, which of their bits (T.81, annex G; `(0, 63)`, `(0, 0)` is all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub components: Vec<usize>,
    pub spectrum: (usize, usize),
    /// The bit position before and after this scan.
    pub bits: (u8, u8),
}

impl Scan {
    pub fn whole(components: &[usize]) -> Self {
        Self { components: components.to_vec(), spectrum: (0, 63), bits: (0, 0) }
    }

    pub fn part(components: &[usize], spectrum: (usize, usize), bits: (u8, u8)) -> Self {
        Self { components: components.to_vec(), spectrum, bits }
    }
}

/// How the numbers of a picture's components are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    Grey,
    /// With a JFIF header.
    Ycc,
    /// Without any header: what three components numbered 1, 2, 3 are taken for.
    BareYcc,
    /// With Adobe's marker, transform 1.
    AdobeYcc,
    /// With Adobe's marker, transform 0.
    AdobeRgb,
    /// By the components' names, `R`, `G`, `B`.
    NamedRgb,
    /// With Adobe's marker, transform 0; inverted, as Photoshop writes it.
    Cmyk,
    /// With Adobe's marker, transform 2; inverted.
    Ycck,
    /// Four components and no marker.
    BareCmyk,
}

impl Colours {
    fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Cmyk | Self::Ycck | Self::BareCmyk => 4,
            _ => 3,
        }
    }
}

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Jpeg {
    pub colours: Colours,
    /// Horizontal and vertical sampling factors of each component.
    pub sampling: Vec<(usize, usize)>,
    pub scans: Vec<Scan>,
    /// SOF0, SOF1 or SOF2.
    pub process: u8,
    /// MCUs between restart markers; 0 for none.
    pub restart: usize,
    /// The step of the quantisation, for all coefficients.
    pub quantum: u16,
    /// Fill bytes before each marker.
    pub fill: usize,
    /// The height stands behind the first scan (DNL) and not in the frame header.
    pub late_height: bool,
}

impl Jpeg {
    /// A baseline file with all components in one scan.
    pub fn new(colours: Colours, sampling: &[(usize, usize)]) -> Self {
        let all: Vec<usize> = (0..colours.count()).collect();
        Self {
            colours,
            sampling: sampling.to_vec(),
            scans: vec![Scan::whole(&all)],
            process: 0,
            restart: 0,
            quantum: 4,
            fill: 0,
            late_height: false,
        }
    }

    pub fn encode(&self, picture: &RgbImage) -> Vec<u8> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let most = self.most();
        let planes = planes(picture, self.colours);
        let components: Vec<Component> = (0..planes.len())
            .map(|at| Component::new(&planes[at], (width, height), self.sampling[at], most, f64::from(self.quantum)))
            .collect();
        let mut file = vec![0xff, 0xd8];
        self.headers(&mut file, width, height);
        for (number, scan) in self.scans.iter().enumerate() {
            self.scan(&mut file, scan, &components, (width, height));
            if number == 0 && self.late_height {
                self.segment(&mut file, 0xdc, &(height as u16).to_be_bytes());
            }
        }
        file.extend(vec![0xff; self.fill]);
        file.extend([0xff, 0xd9]);
        file
    }

    fn most(&self) -> (usize, usize) {
        let most = |pick: fn(&(usize, usize)) -> usize| self.sampling.iter().map(pick).max().unwrap();
        (most(|s| s.0), most(|s| s.1))
    }

    fn segment(&self, file: &mut Vec<u8>, marker: u8, body: &[u8]) {
        file.extend(vec![0xff; self.fill]);
        file.extend([0xff, marker]);
        file.extend((body.len() as u16 + 2).to_be_bytes());
        file.extend(body);
    }

    fn headers(&self, file: &mut Vec<u8>, width: usize, height: usize) {
        let adobe = |transform: u8| [&b"Adobe\0\x64\0\0\0\0"[..], &[transform]].concat();
        match self.colours {
            Colours::Grey | Colours::Ycc => self.segment(file, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            Colours::AdobeYcc => self.segment(file, 0xee, &adobe(1)),
            Colours::AdobeRgb | Colours::Cmyk => self.segment(file, 0xee, &adobe(0)),
            Colours::Ycck => self.segment(file, 0xee, &adobe(2)),
            Colours::BareYcc | Colours::NamedRgb | Colours::BareCmyk => {}
        }
        let mut table = vec![if self.quantum > 255 { 0x10 } else { 0 }];
        for _ in 0..64 {
            let [high, low] = self.quantum.to_be_bytes();
            table.extend(if self.quantum > 255 { vec![high, low] } else { vec![low] });
        }
        self.segment(file, 0xdb, &table);
        let stated = if self.late_height { 0 } else { height as u16 };
        let mut frame = vec![8];
        frame.extend(stated.to_be_bytes());
        frame.extend((width as u16).to_be_bytes());
        frame.push(self.sampling.len() as u8);
        for (at, &(h, v)) in self.sampling.iter().enumerate() {
            frame.extend([self.id(at), (h << 4 | v) as u8, 0]);
        }
        self.segment(file, 0xc0 + self.process, &frame);
        if self.restart > 0 {
            self.segment(file, 0xdd, &(self.restart as u16).to_be_bytes());
        }
    }

    fn id(&self, component: usize) -> u8 {
        if self.colours == Colours::NamedRgb { b"RGB"[component] } else { component as u8 + 1 }
    }

    /// One scan: its symbols, then tables that fit them, then the bits.
    fn scan(&self, file: &mut Vec<u8>, scan: &Scan, components: &[Component], size: (usize, usize)) {
        let mut writer = Writer::new(scan, self.process == 2);
        let most = self.most();
        let blocks: Vec<Vec<(usize, usize)>> = if let [only] = scan.components[..] {
            let of = &components[only];
            let (wide, high) = of.own_blocks(size, self.sampling[only], most);
            (0..wide * high).map(|at| vec![(only, at / wide * of.wide + at % wide)]).collect()
        } else {
            let (wide, high) = (size.0.div_ceil(8 * most.0), size.1.div_ceil(8 * most.1));
            let inside = |mcu: usize| {
                let block = |of: usize| {
                    let (h, v) = self.sampling[of];
                    let (x, y, wide) = (mcu % wide * h, mcu / wide * v, components[of].wide);
                    (0..h * v).map(move |at| (of, (y + at / h) * wide + x + at % h))
                };
                scan.components.iter().flat_map(|&of| block(of)).collect()
            };
            (0..wide * high).map(inside).collect()
        };
        for (number, mcu) in blocks.iter().enumerate() {
            if self.restart > 0 && number > 0 && number % self.restart == 0 {
                writer.restart();
            }
            for &(of, at) in mcu {
                // Two tables for what is brightness and what is not, as is usual.
                writer.block(usize::from(of > 0), of, &components[of].blocks[at]);
            }
        }
        writer.end_of_bands();

        let codes: Vec<Code> = writer.counts.iter().map(Code::new).collect();
        for (number, code) in codes.iter().enumerate().filter(|(_, code)| !code.symbols.is_empty()) {
            let class = ((number / 2) << 4) | (number % 2);
            self.segment(file, 0xc4, &[&[class as u8], &code.lengths[..], &code.symbols].concat());
        }
        let mut header = vec![scan.components.len() as u8];
        for &of in &scan.components {
            header.extend([self.id(of), if of > 0 { 0x11 } else { 0 }]);
        }
        header.extend([scan.spectrum.0 as u8, scan.spectrum.1 as u8, scan.bits.0 << 4 | scan.bits.1]);
        self.segment(file, 0xda, &header);
        writer.write(file, &codes);
    }
}

/// A component's quantised coefficients, in zigzag order, for whole MCUs.
struct Component {
    wide: usize,
    blocks: Vec<[i32; 64]>,
}

impl Component {
    fn new(plane: &[f64], size: (usize, usize), (h, v): (usize, usize), most: (usize, usize), quantum: f64) -> Self {
        let (across, down) = (most.0 / h, most.1 / v);
        let wide = size.0.div_ceil(8 * most.0) * h;
        let high = size.1.div_ceil(8 * most.1) * v;
        let sample = |x: usize, y: usize| {
            let mut sum = 0.0;
            for at in 0..across * down {
                let x = (x * across + at % across).min(size.0 - 1);
                let y = (y * down + at / across).min(size.1 - 1);
                sum += plane[y * size.0 + x];
            }
            sum / (across * down) as f64
        };
        let cosine: Vec<f64> =
            (0..64).map(|at| ((2 * (at % 8) + 1) as f64 * (at / 8) as f64 * PI / 16.0).cos()).collect();
        let block = |at: usize| {
            let (left, top) = (at % wide * 8, at / wide * 8);
            let samples: Vec<f64> = (0..64).map(|at| sample(left + at % 8, top + at / 8) - 128.0).collect();
            let mut rows = [0.0; 64];
            for (at, sum) in rows.iter_mut().enumerate() {
                *sum = (0..8).map(|x| samples[at / 8 * 8 + x] * cosine[at % 8 * 8 + x]).sum();
            }
            std::array::from_fn(|at| {
                let (u, v) = (ZIGZAG[at] % 8, ZIGZAG[at] / 8);
                let sum: f64 = (0..8).map(|y| rows[y * 8 + u] * cosine[v * 8 + y]).sum();
                let scale = |of: usize| if of == 0 { 0.5f64.sqrt() } else { 1.0 };
                (sum * scale(u) * scale(v) / 4.0 / quantum).round() as i32
            })
        };
        Self { wide, blocks: (0..wide * high).map(block).collect() }
    }

    /// How many blocks a scan of this component alone has (T.81, A.2.2).
    fn own_blocks(&self, size: (usize, usize), (h, v): (usize, usize), most: (usize, usize)) -> (usize, usize) {
        ((size.0 * h).div_ceil(most.0).div_ceil(8), (size.1 * v).div_ceil(most.1).div_ceil(8))
    }
}

/// The components' samples at the picture's own size.
fn planes(picture: &RgbImage, colours: Colours) -> Vec<Vec<f64>> {
    let plane = |of: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
        picture.pixels().map(|pixel| of(pixel[0].into(), pixel[1].into(), pixel[2].into())).collect()
    };
    let luma = |r: f64, g: f64, b: f64| 0.299 * r + 0.587 * g + 0.114 * b;
    let ycc = || {
        vec![
            plane(&luma),
            plane(&|r, g, b| 128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b),
            plane(&|r, g, b| 128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b),
        ]
    };
    let rgb = || vec![plane(&|r, _, _| r), plane(&|_, g, _| g), plane(&|_, _, b| b)];
    // A black that is not nothing, so that it is seen whether it counts.
    let black = || plane(&|r, g, b| 255.0 - luma(r, g, b) / 4.0);
    match colours {
        Colours::Grey => vec![plane(&luma)],
        Colours::Ycc | Colours::BareYcc | Colours::AdobeYcc => ycc(),
        Colours::AdobeRgb | Colours::NamedRgb => rgb(),
        Colours::Cmyk | Colours::BareCmyk => [rgb(), vec![black()]].concat(),
        Colours::Ycck => [ycc(), vec![black()]].concat(),
    }
}
