//! Markdown as HTML that cannot do anything: what a model says is what a stranger says.
//!
//! `CommonMark` with tables, task lists, strikethrough and footnotes is written as HTML by `pulldown-cmark`, and whatever of it
//! is not on a short list is taken out by `ammonia`, which reads HTML as browsers do.
//!
//! Invariants: no script, no style, no event, no form, no frame, no image of another place, no id or class but a code
//! block's language; an address is one of http, https or mailto, and leads away without telling from where.

use std::collections::{HashMap, HashSet};

use ammonia::Builder;
use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd, html};

/// Every element that is left in.
const ELEMENTS: [&str; 32] = [
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "dd",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "input",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
];

/// The Markdown as safe HTML. HTML in it is shown as the text it is, a picture as a link to it. Time and memory are in proportion to its length.
pub fn safe_html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_FOOTNOTES;
    let shown = Parser::new_ext(markdown, options).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        // To fetch it would tell its place who reads.
        Event::Start(Tag::Image {
            dest_url,
            title,
            id,
            ..
        }) => Event::Start(Tag::Link {
            link_type: LinkType::Inline,
            dest_url,
            title,
            id,
        }),
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        other => other,
    });
    let mut written = String::with_capacity(markdown.len() + markdown.len() / 2);
    html::push_html(&mut written, shown);
    cleaned(&written)
}

fn cleaned(written: &str) -> String {
    let elements = ELEMENTS.into_iter().chain(["ul"]).collect();
    let attributes = HashMap::from([
        ("a", HashSet::from(["href", "title"])),
        ("ol", HashSet::from(["start"])),
        ("input", HashSet::from(["checked", "disabled"])),
        ("code", HashSet::from(["class"])),
    ]);
    // Only a list item's box, and never one to write into.
    let fixed = HashMap::from([(
        "input",
        HashMap::from([("type", "checkbox"), ("disabled", "")]),
    )]);
    Builder::new()
        .tags(elements)
        .tag_attributes(attributes)
        .set_tag_attribute_values(fixed)
        .generic_attributes(HashSet::new())
        .url_schemes(HashSet::from(["http", "https", "mailto"]))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .attribute_filter(|element, attribute, value| match (element, attribute) {
            ("code", "class") => is_language(value).then(|| value.into()),
            _ => Some(value.into()),
        })
        .clean(written)
        .to_string()
}

/// The class that a code block's language becomes.
fn is_language(class: &str) -> bool {
    let Some(language) = class.strip_prefix("language-") else {
        return false;
    };
    let short = (1..=32).contains(&language.len());
    short
        && language
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || "+-#_.".contains(one))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_is_shown() {
        for (markdown, html) in [
            (
                "Hello *you* **there**",
                "<p>Hello <em>you</em> <strong>there</strong></p>\n",
            ),
            (
                "![a cat](https://a.b/c.png \"Cat\")",
                "<p><a href=\"https://a.b/c.png\" title=\"Cat\" rel=\"noopener noreferrer nofollow\">a cat</a></p>\n",
            ),
            (
                "# One\n\n- a\n- b",
                "<h1>One</h1>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n",
            ),
            ("3. c", "<ol start=\"3\">\n<li>c</li>\n</ol>\n"),
            (
                "```rust\nlet a = 1 < 2;\n```",
                "<pre><code class=\"language-rust\">let a = 1 &lt; 2;\n</code></pre>\n",
            ),
            (
                "| a |\n|---|\n| 1 |",
                "<table><thead><tr><th>a</th></tr></thead><tbody>\n<tr><td>1</td></tr>\n</tbody></table>\n",
            ),
            ("~~old~~", "<p><del>old</del></p>\n"),
            ("a < b & c", "<p>a &lt; b &amp; c</p>\n"),
            ("", ""),
        ] {
            assert_eq!(safe_html(markdown), html, "{markdown}");
        }
        let link = safe_html("[here](https://example.org/?a=1&b=2 \"t\")");
        assert!(
            link.contains("href=\"https://example.org/?a=1&amp;b=2\""),
            "{link}"
        );
        assert!(
            link.contains("rel=\"noopener noreferrer nofollow\""),
            "{link}"
        );
        let task = safe_html("- [x] done");
        assert!(
            task.contains("type=\"checkbox\"") && task.contains("disabled"),
            "{task}"
        );
    }

    /// What must be in no page: read off the elements and attributes, not off the text.
    fn is_harmless(html: &str) -> bool {
        let mut rest = html;
        while let Some(start) = rest.find('<') {
            let tag = rest.get(start + 1..).unwrap_or_default();
            let end = tag.find('>').unwrap_or(tag.len());
            let inside = tag.get(..end).unwrap_or_default();
            let name = inside.trim_start_matches('/');
            let name: String = name
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            if !ELEMENTS.contains(&name.as_str()) && name != "ul" {
                return false;
            }
            let attributes = inside.to_ascii_lowercase();
            let bad = [
                " on",
                "style=",
                "javascript:",
                "data:",
                " src=",
                " id=",
                "<",
            ];
            // An address may have such a word in it, and does nothing with it.
            if name != "a" && bad.iter().any(|one| attributes.contains(one)) {
                return false;
            }
            if let Some(href) = attributes.split("href=\"").nth(1) {
                let safe = ["http://", "https://", "http:", "https:", "mailto:"];
                if !safe.iter().any(|scheme| href.starts_with(scheme)) {
                    return false;
                }
            }
            rest = tag.get(end..).unwrap_or_default();
        }
        true
    }

    #[test]
    fn what_strangers_try_does_nothing() {
        for markdown in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "![x](https://example.org/track.png)",
            "![x](javascript:alert(1))",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java\nscript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](vbscript:x)",
            "[x](//example.org)",
            "[x](/etc/passwd)",
            "<javascript:alert(1)>",
            "<svg onload=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<style>*{display:none}</style>",
            "<iframe src=\"https://example.org\"></iframe>",
            "<form action=x><input name=a></form>",
            "```\"><script>alert(1)</script>\nx\n```",
            "``` \" onclick=alert(1) x=\"\nx\n```",
            "```a b onmouseover=1\nx\n```",
            "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
            "[x]: javascript:alert(1)\n[x]",
            "[^1]\n\n[^1]: <script>alert(1)</script>",
            "<p id=top class=header>x</p>",
            "&lt;script&gt;",
            "\u{0}<scr\u{0}ipt>",
        ] {
            let html = safe_html(markdown);
            assert!(is_harmless(&html), "{markdown:?} became {html:?}");
        }
        // The check sees what it should.
        for html in [
            "<script>",
            "<p onclick=\"x\">",
            "<a href=\"javascript:x\">",
            "<p style=\"x\">",
            "<img>",
        ] {
            assert!(!is_harmless(html), "{html}");
        }
        let shown = safe_html("<b>bold</b>");
        assert_eq!(
            shown, "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n",
            "HTML is shown, not obeyed"
        );
    }

    #[test]
    fn deep_and_long_texts_end() {
        for markdown in [
            "> ".repeat(5_000),
            "* ".repeat(5_000),
            "[".repeat(20_000),
            "*a ".repeat(20_000),
            "`".repeat(20_000),
            "![[](".repeat(5_000),
        ] {
            assert!(is_harmless(&safe_html(&markdown)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn whatever_is_said_does_nothing(
            parts in proptest::collection::vec(
                prop_oneof![
                    ".{0,12}",
                    proptest::sample::select(vec![
                        "<", ">", "\"", "'", "`", "```", "\n", "\n\n", "[", "](", ")", "!", "javascript:", "onerror=",
                        "<script>", "</p>", "<img src=", "style=", "&#x", "&lt;", "https://", "|", "---", "- [ ] ", "[^1]", ": ",
                    ]).prop_map(str::to_owned),
                ],
                0..40,
            ),
        ) {
            let html = safe_html(&parts.concat());
            prop_assert!(is_harmless(&html), "{}", html);
        }
    }
}
