//! Advertisers and partners, and what they have in common: offers, actions, links.

use std::collections::BTreeMap;

use super::{MarkedWorld, id_in};

impl MarkedWorld {
    pub(super) async fn add_people(&mut self) {
        for number in [1, 2] {
            let own = format!("a{number}");
            let name = self.markers.text("advertiser", &own);
            let made = self
                .owner(&format!(r#"createAdvertiser(input: {{name: "{name}"}}) {{ advertiserId }}"#))
                .await;
            let id = id_in(&made["createAdvertiser"]["advertiserId"]);
            // Partners choose among all offers, and an offer says whose it is.
            self.markers.known(&id.to_string(), &format!("{own}p1p2"));
            let hours = self.markers.number("attributionWindowHours", &own);
            self.owner(&format!(
                r#"updateAdvertiser(input: {{advertiserId: "{id}", attributionWindowHours: {hours}}}) {{ name }}"#
            ))
            .await;
            self.advertisers.push(id);

            let own = format!("p{number}");
            let name = self.markers.text("partner", &own);
            let made =
                self.owner(&format!(r#"createPartner(input: {{name: "{name}"}}) {{ partnerId }}"#)).await;
            let id = id_in(&made["createPartner"]["partnerId"]);
            // Both bring clicks to both, and a click says whose it is.
            self.markers.known(&id.to_string(), &format!("{own}a1a2"));
            self.partners.push(id);
        }
    }

    /// An offer of each advertiser, and a link of each partner to each.
    pub(super) async fn add_network(&mut self) {
        let mut links = BTreeMap::new();
        for (place, advertiser) in self.advertisers.clone().into_iter().enumerate() {
            // Partners choose among all offers.
            let audience = format!("a{}p1p2", place + 1);
            let (name, landing) =
                (self.markers.text("offer", &audience), self.markers.text("landing", &audience));
            let made = self
                .owner(&format!(
                    r#"createOffer(input: {{advertiserId: "{advertiser}", name: "{name}",
                         landingUrl: "https://shop.example/{landing}"}}) {{ offerId }}"#
                ))
                .await;
            let offer = id_in(&made["createOffer"]["offerId"]);
            self.markers.known(&offer.to_string(), &audience);
            self.offers.push(offer);
            self.add_actions(place, &audience).await;
            for (other, partner) in self.partners.clone().into_iter().enumerate() {
                let made = self
                    .owner(&format!(
                        r#"createLink(input: {{offerId: "{offer}", partnerId: "{partner}"}}) {{ linkId }}"#
                    ))
                    .await;
                let link = id_in(&made["createLink"]["linkId"]);
                self.markers.known(&link.to_string(), &format!("a{}p{}", place + 1, other + 1));
                links.insert((place, other), link);
            }
        }
        self.links = links;
        self.add_composites().await;
    }

    /// One that pays an amount and one that pays a share.
    async fn add_actions(&mut self, place: usize, audience: &str) {
        let offer = self.offers[place];
        // What the advertiser pays is its own affair, what partners get is theirs.
        let (of_advertiser, of_partners) = audience.split_at(2);
        let name = self.markers.text("action", audience);
        let (rate, payout) = (format!("8{place}99.31"), format!("7{place}99.31"));
        self.markers.known(&rate, of_advertiser);
        self.markers.known(&payout, of_partners);
        let commission = self.markers.fraction("commissionPercent", "");
        self.owner(&format!(
            r#"createAction(input: {{offerId: "{offer}", name: "{name}", kind: SALE, payoutModel: FIXED,
                 advertiserRate: "{rate}", commissionPercent: "{commission}", payoutAmount: "{payout}",
                 currency: "USD"}}) {{ actionId }}"#
        ))
        .await;
        let name = self.markers.text("share", audience);
        let rate = self.markers.fraction("advertiserRate", of_advertiser);
        let share = self.markers.fraction("payoutPercent", of_partners);
        let made = self
            .owner(&format!(
                r#"createAction(input: {{offerId: "{offer}", name: "{name}", kind: CUSTOM, payoutModel: PERCENT,
                     advertiserRate: "{rate}", payoutPercent: "{share}", currency: "USD"}}) {{ actionId }}"#
            ))
            .await;
        let id = id_in(&made["createAction"]["actionId"]);
        self.markers.known(&id.to_string(), audience);
    }

    /// What a link's parameter is made of is between its partner and the network. One has a ready
    /// layout, the others one of their own.
    async fn add_composites(&mut self) {
        for ((_, partner), link) in self.links.clone() {
            let own = format!("p{}", partner + 1);
            let composite = if link == self.links[&(1, 1)] {
                "{ready: REVSHARE}".to_owned()
            } else {
                let [parameter, start, end, separator, field, account, value] =
                    ["parameter", "start", "end", "separator", "field", "account", "value"]
                        .map(|name| self.markers.text(name, &own));
                format!(
                    r##"{{custom: {{parameter: "{parameter}", start: "{start}", end: "{end}",
                         separator: "#{separator}", fields: ["account_id", "{field}"],
                         accountParameter: "{account}", accountValue: "{value}"}}}}"##
                )
            };
            self.owner(&format!(
                r#"setLinkComposite(input: {{linkId: "{link}", composite: {composite}}}) {{ linkId }}"#
            ))
            .await;
        }
    }
}
