//! Whether an advertiser's requests are signed.

use crate::domain::coded::coded_enum;

coded_enum! {
    /// What is asked of an advertiser's requests.
    SignaturePolicy {
        /// Signatures are not looked at.
        Off = "off",
        /// Requests may be unsigned; a signature that is there must be right.
        Optional = "optional",
        /// Every request is signed, with its time.
        Required = "required",
    }
}
