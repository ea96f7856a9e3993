//! The names that a pickle may mention. There are no others.

use super::super::dtype::DType;

/// What a name means to this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`: a dict.
    OrderedDict,
    /// `torch._utils._rebuild_tensor(storage, offset, size, stride)`.
    Tensor1,
    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])`.
    Tensor2,
    /// `torch._utils._rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])`.
    Tensor3,
    /// `torch._utils._rebuild_parameter`, `_with_state`: the first argument.
    RebuildParameter,
    /// `torch.nn.parameter.Parameter`, made with NEWOBJ.
    Parameter,
    /// `torch.nn.modules.container.ParameterDict`, made with NEWOBJ: a module that holds tensors by name.
    ParameterDict,
    /// A storage class, which says the type of the numbers.
    Storage(DType),
    /// `torch.storage.UntypedStorage`: bytes.
    UntypedStorage,
    /// A dtype such as `torch.float16`.
    Dtype(DType),
    /// `torch.Size`: its argument.
    Size,
    /// `set`, of nothing.
    Set,
    /// `_codecs.encode`: bytes, which do not matter here.
    Encode,
}

/// Looks a name up.
pub fn lookup(module: &str, name: &str) -> Option<Global> {
    const I8: DType = DType::Whole(1);
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor") => Global::Tensor1,
        ("torch._utils", "_rebuild_tensor_v2") => Global::Tensor2,
        ("torch._utils", "_rebuild_tensor_v3") => Global::Tensor3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch.nn.parameter", "Parameter") => Global::Parameter,
        ("torch.nn.modules.container", "ParameterDict") => Global::ParameterDict,
        ("torch", "FloatStorage") => Global::Storage(DType::F32),
        ("torch", "HalfStorage") => Global::Storage(DType::F16),
        ("torch", "BFloat16Storage") => Global::Storage(DType::Bf16),
        ("torch", "DoubleStorage") => Global::Storage(DType::F64),
        ("torch", "LongStorage") => Global::Storage(DType::Whole(8)),
        ("torch", "IntStorage") => Global::Storage(DType::Whole(4)),
        ("torch", "ShortStorage") => Global::Storage(DType::Whole(2)),
        ("torch", "ByteStorage" | "CharStorage" | "BoolStorage") => Global::Storage(I8),
        ("torch.storage" | "torch", "UntypedStorage") | ("torch.storage", "TypedStorage") => Global::UntypedStorage,
        ("torch", "float32" | "float") => Global::Dtype(DType::F32),
        ("torch", "float16" | "half") => Global::Dtype(DType::F16),
        ("torch", "bfloat16") => Global::Dtype(DType::Bf16),
        ("torch", "float64" | "double") => Global::Dtype(DType::F64),
        ("torch", "int64" | "long") => Global::Dtype(DType::Whole(8)),
        ("torch", "int32" | "int") => Global::Dtype(DType::Whole(4)),
        ("torch", "int16" | "short") => Global::Dtype(DType::Whole(2)),
        ("torch", "int8" | "uint8" | "bool") => Global::Dtype(I8),
        ("torch", "Size") => Global::Size,
        ("__builtin__" | "builtins", "set") => Global::Set,
        ("_codecs", "encode") => Global::Encode,
        _ => return None,
    })
}

/// Whether a name outside the table is one that files use to run code or to do harm, and not just another class.
pub fn is_hostile(module: &str, name: &str) -> bool {
    const MODULES: &[&str] = &[
        "_io",
        "_posixsubprocess",
        "_thread",
        "aiohttp",
        "asyncio",
        "atexit",
        "bdb",
        "cProfile",
        "code",
        "codeop",
        "commands",
        "ctypes",
        "doctest",
        "ensurepip",
        "functools",
        "httplib",
        "idlelib",
        "imp",
        "importlib",
        "io",
        "lib2to3",
        "marshal",
        "multiprocessing",
        "nt",
        "ntpath",
        "numpy.testing",
        "operator",
        "os",
        "pdb",
        "pickle",
        "pip",
        "pkgutil",
        "platform",
        "popen2",
        "posix",
        "posixpath",
        "profile",
        "pty",
        "pydoc",
        "requests",
        "runpy",
        "shutil",
        "signal",
        "site",
        "smtplib",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "timeit",
        "torch.hub",
        "torch.jit",
        "trace",
        "types",
        "urllib",
        "urllib2",
        "uuid",
        "venv",
        "webbrowser",
        "zipimport",
    ];
    const BUILTINS: &[&str] = &[
        "__import__",
        "apply",
        "breakpoint",
        "bytearray",
        "compile",
        "delattr",
        "eval",
        "exec",
        "execfile",
        "file",
        "getattr",
        "globals",
        "input",
        "locals",
        "map",
        "open",
        "setattr",
        "vars",
    ];
    if matches!(module, "builtins" | "__builtin__") {
        return BUILTINS.iter().any(|known| name == *known || name.starts_with(&format!("{known}.")));
    }
    let within = |known: &str| module.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    MODULES.iter().any(|known| within(known)) || matches!(name, "system" | "popen" | "exec" | "eval" | "load")
}

/// What an unknown name is for, where it is one of torch's that holds other tensors than plain ones.
pub fn other_tensor(module: &str, name: &str) -> Option<&'static str> {
    if !module.starts_with("torch") {
        return None;
    }
    Some(match name {
        "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor" => "a sparse tensor",
        "_rebuild_qtensor" => "a quantized tensor",
        "_rebuild_meta_tensor_no_storage" => "a meta tensor, which has no values",
        "_rebuild_nested_tensor" => "a nested tensor",
        "_rebuild_device_tensor_from_numpy" | "_rebuild_device_tensor_from_cpu_tensor" | "_rebuild_xla_tensor" => {
            "a tensor of an accelerator that only its own software reads"
        }
        "_rebuild_wrapper_subclass" | "_rebuild_from_type_v2" | "_rebuild_from_type" => {
            "a tensor of a class of its own"
        }
        "ComplexFloatStorage" | "ComplexDoubleStorage" => "a tensor of complex numbers",
        "QInt8Storage" | "QUInt8Storage" | "QInt32Storage" | "QUInt4x2Storage" | "QUInt2x4Storage" => {
            "a quantized tensor"
        }
        _ => return None,
    })
}
