//! What people set for themselves: tokens, keys, words, integrations, access.

use uuid::Uuid;

use super::{MarkedWorld, id_in};

impl MarkedWorld {
    pub(super) async fn add_settings(&mut self) {
        for place in 0..self.advertisers.len() {
            let (own, advertiser) = (format!("a{}", place + 1), self.advertisers[place]);
            self.add_tokens(&format!("role: ADVERTISER, advertiserId: \"{advertiser}\""), &own).await;
            self.add_keys(advertiser, &own).await;
            self.add_access(place, &own).await;
            self.add_integration(place, &own).await;
        }
        for (place, partner) in self.partners.clone().into_iter().enumerate() {
            let own = format!("p{}", place + 1);
            self.add_tokens(&format!("role: PARTNER, partnerId: \"{partner}\""), &own).await;
        }
    }

    /// A live one and a revoked one.
    async fn add_tokens(&mut self, role: &str, own: &str) {
        let hands = format!("{own}!");
        for is_revoked in [false, true] {
            let label = self.markers.text("token", &hands);
            let made = self
                .owner(&format!(
                    r#"createToken(input: {{{role}, label: "{label}"}}) {{ token {{ tokenId }} }}"#
                ))
                .await;
            let token = id_in(&made["createToken"]["token"]["tokenId"]);
            self.markers.known(&token.to_string(), &hands);
            if is_revoked {
                self.owner(&format!(r#"revokeToken(tokenId: "{token}")"#)).await;
            }
        }
    }

    async fn add_keys(&mut self, advertiser: Uuid, own: &str) {
        for is_revoked in [false, true] {
            let label = self.markers.text("key", own);
            let made = self
                .owner(&format!(
                    r#"createApiKey(input: {{advertiserId: "{advertiser}", label: "{label}"}})
                       {{ apiKey {{ apiKeyId }} }}"#
                ))
                .await;
            let key = id_in(&made["createApiKey"]["apiKey"]["apiKeyId"]);
            self.markers.known(&key.to_string(), own);
            if is_revoked {
                self.owner(&format!(r#"revokeApiKey(apiKeyId: "{key}") {{ revokedAt }}"#)).await;
            }
        }
    }

    async fn add_access(&mut self, place: usize, own: &str) {
        let advertiser = self.advertisers[place];
        let network = format!("198.51.100.{}/32", place + 77);
        self.markers.known(&network, own);
        self.owner(&format!(
            r#"setAllowlist(input: {{advertiserId: "{advertiser}", networks: ["{network}"]}}) {{ advertiserId }}"#
        ))
        .await;
        let rate = self.markers.number("requestsPerSecond", own);
        self.owner(&format!(
            r#"setRateLimit(input: {{advertiserId: "{advertiser}", requestsPerSecond: {rate}}}) {{ advertiserId }}"#
        ))
        .await;
        // Sealed by nobody: there is no master key here, and nothing opens it.
        let (secret, made_at) = (self.id(own), self.markers.time(own));
        self.execute(
            "INSERT INTO advertiser_secrets (secret_id, advertiser_id, master_key_id, ciphertext, created_at)
             VALUES ($1, $2, 'none', '', $3)",
            &[&secret, &advertiser, &made_at],
        )
        .await;
    }

    /// An integration for one offer, and a word of each place.
    async fn add_integration(&mut self, place: usize, own: &str) {
        let (advertiser, offer) = (self.advertisers[place], self.offers[place]);
        let [name, template, accepted, refused] =
            ["integration", "mapped", "success", "refusal"].map(|name| self.markers.text(name, own));
        let network = format!("198.51.100.{}/32", place + 87);
        self.markers.known(&network, own);
        let refusal_code = 461 + place;
        self.markers.field("refusalCode", refusal_code, own);
        let made = self
            .owner(&format!(
                r#"createIntegration(input: {{advertiserId: "{advertiser}", offerId: "{offer}", name: "{name}",
                     fieldMap: [{{field: "request_id", templates: ["{{{template}}}"]}}],
                     answers: {{successBody: "{accepted}", refusalCode: {refusal_code}, refusalBody: "{refused}"}},
                     allowedNetworks: ["{network}"]}}) {{ integration {{ integrationId }} }}"#
            ))
            .await;
        let integration = id_in(&made["createIntegration"]["integration"]["integrationId"]);
        self.markers.known(&integration.to_string(), own);
        self.integrations.push(integration);
        for (of, id) in [("advertiserId", advertiser), ("offerId", offer), ("integrationId", integration)] {
            let word = self.markers.text("word", own);
            self.owner(&format!(
                r#"setStatusWord(input: {{{of}: "{id}", word: "{word}", meaning: HOLD}}) {{ word }}"#
            ))
            .await;
        }
    }
}
