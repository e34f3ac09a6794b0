//! Figures in the text of the READMEs.

/// Sentences, or parts of them, with the figures that they quote; see [`Template`] for their form.
/// `peers tables` writes the figures into the files, and a test compares them. Where the wording of
/// a README changes, it changes here, too.
pub const QUOTES: &[(&str, &str)] = &[
    (
        "README.md",
        "executes {instructions|pan123-offline|ureq|2} times as many instructions as plain ureq, \
         {instructions|pan123-offline|reqwest|2} times as many as reqwest's blocking client and \
         {instructions|pan123-offline|curl|2} times as many as libcurl",
    ),
    (
        "README.zh-CN.md",
        "一次调用执行的指令数是直接用 ureq 的 {instructions|pan123-offline|ureq|2} 倍、reqwest 阻塞客户端的 \
         {instructions|pan123-offline|reqwest|2} 倍、libcurl 的 {instructions|pan123-offline|curl|2} 倍",
    ),
    (
        "README.md",
        "`rustls` (default) | TLS with Mozilla's root certificates compiled in; needs a C compiler | {packages|pan123-offline, rustls|0} |",
    ),
    (
        "README.md",
        "`native-tls` | TLS by the system's library and its certificates | {packages|pan123-offline, native-tls|0} |",
    ),
    (
        "README.md",
        "`platform-verifier` | rustls, certificates verified by the operating system | {packages|pan123-offline, platform-verifier|0} |",
    ),
    (
        "README.md",
        "none | loopback only; `build()` rejects https; needs no C compiler | {packages|pan123-offline, no TLS|0} |",
    ),
    (
        "README.zh-CN.md",
        "`rustls`（默认） | rustls，内置 Mozilla 根证书；编译需要 C 编译器 | {packages|pan123-offline, rustls|0} |",
    ),
    (
        "README.zh-CN.md",
        "`native-tls` | 使用系统的 TLS 库和系统证书 | {packages|pan123-offline, native-tls|0} |",
    ),
    (
        "README.zh-CN.md",
        "`platform-verifier` | rustls，证书交由操作系统判断 | {packages|pan123-offline, platform-verifier|0} |",
    ),
    (
        "README.zh-CN.md",
        "全部关闭 | 只能连本机；https 会在 `build()` 时报错；不需要 C 编译器 | {packages|pan123-offline, no TLS|0} |",
    ),
    (
        "README.md",
        "a static binary of the command, {command_kib|dist, musl|1/1024} MiB |",
    ),
    (
        "README.zh-CN.md",
        "静态链接的命令行程序，{command_kib|dist, musl|1/1024} MiB |",
    ),
];

/// Limits and settings, which are not measured although they have a unit.
pub const NOT_MEASURED: &[&str] = &[
    "200 ms after the client's last request",
    "距上次请求至少 200 毫秒",
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
