//! Figures in the text of the READMEs.

/// Sentences, or parts of them, with the figures that they quote; see [`Template`] for their form.
/// `peers tables` writes the figures into the files, and a test compares them. Where the wording of
/// a README changes, it changes here, too.
pub const QUOTES: &[(&str, &str)] = &[
    (
        "README.md",
        "costs {instructions|pan123-offline|ureq|2} of the instructions of plain ureq, \
         {instructions|pan123-offline|reqwest|2} of reqwest's blocking client and \
         {instructions|pan123-offline|curl|2} of libcurl, and {allocations|pan123-offline|0} \
         allocations beside their {allocations|ureq|0}, {allocations|reqwest|0} and \
         {allocations|curl|0}",
    ),
    (
        "README.zh-CN.md",
        "一次调用的指令数是直接用 ureq 的 {instructions|pan123-offline|ureq|2}、reqwest 阻塞客户端的 \
         {instructions|pan123-offline|reqwest|2}、libcurl 的 {instructions|pan123-offline|curl|2}；\
         内存分配 {allocations|pan123-offline|0} 次，它们分别是 {allocations|ureq|0}、\
         {allocations|reqwest|0}、{allocations|curl|0} 次",
    ),
];

/// Limits and settings, which are not measured although they have a unit.
pub const NOT_MEASURED: &[&str] = &[
    "8 KiB, and 64 KiB of a body",
    "8 KiB，应答体最多读 64 KiB",
    "0, 5 and 30 ms",
    "0, 5, 20 or 30 ms",
];

/// Units of measured figures.
pub const UNITS: &[&str] = &[
    "µs",
    "μs",
    "ms",
    "ns",
    "KiB",
    "MiB",
    "kB",
    "KB",
    "MB",
    "instructions",
    "allocations",
    "system calls",
    "packages",
    "微秒",
    "毫秒",
    "条指令",
    "次系统调用",
    "次内存分配",
    "次分配",
];
