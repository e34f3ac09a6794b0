#![no_main]

use std::sync::LazyLock;

use pan123_offline_fuzz::TokenCacheCheck;

static TOKEN_CACHE: LazyLock<TokenCacheCheck> = LazyLock::new(TokenCacheCheck::new);

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    TOKEN_CACHE.check(file);
});
