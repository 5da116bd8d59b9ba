//! Requests that wait for a word.

use ricochet::domain::fields::ConversionRequest;
use ricochet::domain::money::Currency;
use rust_decimal::Decimal;
use serde_json::json;

use super::MarkedWorld;

impl MarkedWorld {
    pub(super) async fn add_quarantine(&mut self) {
        for place in 0..self.advertisers.len() {
            // Whoever's click it is, the request is the advertiser's until it is a conversion.
            let own = format!("a{}", place + 1);
            let [word, parameter, action, request_id, customer] =
                ["quarantined", "parameter", "goal", "unread", "customer"]
                    .map(|name| self.markers.text(name, &own));
            let price: Decimal = self.markers.fraction("amount", &own).parse().unwrap();
            let ip = format!("198.51.100.{}", place + 97);
            self.markers.field("sourceIp", ip.clone(), &own);
            let request = ConversionRequest {
                status_word: word.clone(),
                action,
                request_id,
                customer_id: Some(customer),
                price: Some(price),
                currency: Currency::parse("USD"),
                ..ConversionRequest::default()
            };
            let (received, occurred) = (self.markers.time(&own), self.markers.time(&own));
            let (inbound, click) = (self.id(&own), self.id(&own));
            self.execute(
                "INSERT INTO quarantine (inbound_id, advertiser_id, offer_id, integration_id, click_id, word, request,
                     received_at, occurred_at, parameters, source_ip, decided_meaning)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'hold')",
                &[
                    &inbound,
                    &self.advertisers[place],
                    &self.offers[place],
                    &self.integrations[place],
                    &click,
                    &word,
                    &serde_json::to_value(request).unwrap(),
                    &received,
                    &occurred,
                    &json!([["status", parameter]]),
                    &ip,
                ],
            )
            .await;
        }
    }
}
