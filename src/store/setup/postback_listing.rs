//! Which postbacks a list is of.

use uuid::Uuid;

use crate::domain::coded::coded_enum;
use crate::graphql::scope::Scope;
use crate::store::search::Search;

coded_enum! {
    /// Whose postbacks.
    OwnerKind {
        Partner = "partner",
        Advertiser = "advertiser",
        Platform = "platform",
    }
}

coded_enum! {
    /// What postbacks are for.
    ScopeKind {
        /// All offers of their owner.
        Global = "global",
        Offer = "offer",
        Link = "link",
    }
}

/// What is `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct PostbackFilter {
    pub owner: Option<OwnerKind>,
    pub partner_id: Option<Uuid>,
    pub advertiser_id: Option<Uuid>,
    /// Of this offer, or of one of its links.
    pub offer_id: Option<Uuid>,
    pub link_id: Option<Uuid>,
    pub scope: Option<ScopeKind>,
    pub is_paused: Option<bool>,
    pub is_failing: Option<bool>,
    /// The system's name, whatever its case.
    pub preset: Option<String>,
    /// Whatever its case.
    pub text: Option<String>,
    pub text_in: TextIn,
}

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TextIn {
    #[default]
    NameAndUrl,
    /// For those who are not shown what of the URL is secret, and shall not guess it.
    NameAndHost,
}

impl PostbackFilter {
    pub(super) fn search(&self, scope: Scope) -> Search {
        let mut search = Search::default();
        search.condition("deleted_at IS NULL");
        match scope {
            Scope::Everything => {}
            Scope::Advertiser(id) => search.compare("advertiser_id =", Some(id.0)),
            Scope::Partner(id) => search.compare("partner_id =", Some(id.0)),
        }
        search.compare("partner_id =", self.partner_id);
        search.compare("advertiser_id =", self.advertiser_id);
        search.compare("link_id =", self.link_id);
        search.compare("is_paused =", self.is_paused);
        search.compare("(failing_since IS NOT NULL) =", self.is_failing);
        search.compare("lower(preset) =", self.preset.as_ref().map(|preset| preset.trim().to_lowercase()));
        if let Some(owner) = self.owner {
            search.condition(match owner {
                OwnerKind::Partner => "partner_id IS NOT NULL",
                OwnerKind::Advertiser => "advertiser_id IS NOT NULL",
                OwnerKind::Platform => "partner_id IS NULL AND advertiser_id IS NULL",
            });
        }
        if let Some(scope) = self.scope {
            search.condition(match scope {
                ScopeKind::Global => "offer_id IS NULL AND link_id IS NULL",
                ScopeKind::Offer => "offer_id IS NOT NULL",
                ScopeKind::Link => "link_id IS NOT NULL",
            });
        }
        if let Some(offer) = self.offer_id {
            let number = search.value(offer);
            search.condition(format!(
                "(offer_id = ${number} OR link_id IN (SELECT link_id FROM links WHERE offer_id = ${number}))"
            ));
        }
        if let Some(text) = self.text.as_ref().map(|text| text.trim()).filter(|text| !text.is_empty()) {
            let number = search.value(text.to_lowercase());
            let url = match self.text_in {
                TextIn::NameAndUrl => "url_template",
                TextIn::NameAndHost => "substring(url_template FROM '^[^:]*://(?:[^/?#@]*@)?([^/?#]*)')",
            };
            search.condition(format!("position(${number} IN lower(concat_ws(' ', name, {url}))) > 0"));
        }
        search
    }
}
