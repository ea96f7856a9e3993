// A tile's strips in f16: half the workgroup memory to read. Products and sums are in f32.

enable f16;

//#import shared/scale

alias Strip = vec4<f16>;
