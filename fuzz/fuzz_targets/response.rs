#![no_main]

use std::sync::LazyLock;

use pan123_offline_fuzz::ResponseCheck;

static RESPONSE: LazyLock<ResponseCheck> = LazyLock::new(ResponseCheck::new);

libfuzzer_sys::fuzz_target!(|response: &[u8]| {
    RESPONSE.check(response);
});
