//! From the text of a condition to its tree, or to what is wrong with it.

use std::str::FromStr;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::Parser;
use rust_decimal::Decimal;

use super::names::{Name, TextName};
use super::tree::{Calculation, Comparison, Number, Search, Test, Text};
use super::{ConditionError, MAX_CHARS};

/// Deepest nesting that is understood.
const MAX_DEPTH: usize = 32;
/// The parser recurses once or more a character; with this much it cannot run out, even unoptimized.
const STACK_BYTES: usize = 32 << 20;

pub fn read(source: &str) -> Result<Test, ConditionError> {
    let whole = |message: String| ConditionError { character: None, message };
    if source.trim().is_empty() {
        return Err(whole("write a condition such as payout >= 10, or leave it out".into()));
    }
    if source.chars().count() > MAX_CHARS {
        return Err(whole(format!("a condition has at most {MAX_CHARS} characters")));
    }
    // A thread of its own: neither a deep text nor a fault of the parser's reaches the caller.
    std::thread::scope(|scope| {
        let reading =
            std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || parse(source));
        let unreadable = || whole("this cannot be read as a condition; write it more simply".into());
        reading.map_err(|_| unreadable())?.join().unwrap_or_else(|_| Err(unreadable()))
    })
}

fn parse(source: &str) -> Result<Test, ConditionError> {
    let parser = Parser::new().max_recursion_depth(64);
    let (expression, info) = parser.parse_with_source_info(source).map_err(|errors| {
        let first = errors.errors.into_iter().next();
        let (character, message) = first.map_or((1, String::new()), |error| {
            (character_of(source, error.pos), error.msg.replace("Syntax error: ", ""))
        });
        ConditionError { character: Some(character), message: remedy(source, &message) }
    })?;
    let reader = Reader { characters: source.chars().collect(), info };
    match reader.any(&expression, 0)? {
        Any::Test(test) => Ok(test),
        other => {
            let message =
                format!("this is {}, neither true nor false; compare it, as in payout >= 10", other.kind());
            Err(ConditionError { character: None, message })
        }
    }
}

/// Line and column, from 1, as a place in the whole.
fn character_of(source: &str, (line, column): (isize, isize)) -> usize {
    let lines_before = usize::try_from(line - 1).unwrap_or(0);
    let before: usize =
        source.split_inclusive('\n').take(lines_before).map(|line| line.chars().count()).sum();
    before + usize::try_from(column).unwrap_or(1).max(1)
}

/// What a syntax error comes from more often than not.
fn remedy(source: &str, message: &str) -> String {
    let bare = without_texts(source);
    let has_word = |word: &str| {
        bare.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part.eq_ignore_ascii_case(word))
    };
    let has_single_equals = {
        let padded: Vec<char> = format!(" {bare} ").chars().collect();
        padded.windows(3).any(|three| three[1] == '=' && three[2] != '=' && !"=!<>".contains(three[0]))
    };
    let hint = if has_word("and") {
        "write && for AND"
    } else if has_word("or") {
        "write || for OR"
    } else if has_word("not") {
        "write ! for NOT, or == and != to compare"
    } else if bare.contains('{') {
        "write names without braces, as in payout >= 10"
    } else if has_single_equals {
        "write == to compare"
    } else if bare.contains("<>") {
        "write != for unequal"
    } else if source.contains(['“', '”', '„', '‘', '’', '«', '»']) {
        "write texts in straight quotes, as in \"DE\""
    } else {
        // The parser lists everything it would have taken.
        let (what, _) = message.split_once(" expecting ").unwrap_or((message, ""));
        let what = what.replace("'<EOF>'", "the end").replace("<EOF>", "the end");
        let misplaced = ["mismatched input ", "extraneous input ", "token recognition error at: "]
            .iter()
            .find_map(|fault| what.strip_prefix(fault));
        let what = match (misplaced, what.as_str()) {
            (Some("the end"), _) => "something is missing at the end".into(),
            (Some(token), _) => format!("{token} does not belong here"),
            (None, "invalid int literal") => {
                "a whole number has at most 18 digits; write more as 1000.0".into()
            }
            (None, "") => "this cannot be read as a condition".into(),
            (None, other) => other.to_owned(),
        };
        return format!("{what}; a condition is for instance payout >= 10 && country == \"DE\"");
    };
    hint.to_owned()
}

/// What stands in quotes left out.
fn without_texts(source: &str) -> String {
    let mut quote = None;
    let mut bare = String::new();
    for character in source.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => {
                quote = Some(character);
                bare.push(' ');
            }
            None => bare.push(character),
        }
    }
    bare
}

/// A part of a condition, of one of three kinds.
enum Any {
    Test(Test),
    Number(Number),
    Text(Text),
}

impl Any {
    fn kind(&self) -> &'static str {
        match self {
            Self::Test(_) => "a test",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
        }
    }
}

struct Reader {
    characters: Vec<char>,
    info: SourceInfo,
}

impl Reader {
    fn error<T>(&self, at: &IdedExpr, message: impl Into<String>) -> Result<T, ConditionError> {
        let character = self.info.offset_for(at.id).map(|(start, _)| start as usize + 1);
        Err(ConditionError { character, message: message.into() })
    }

    fn any(&self, at: &IdedExpr, depth: usize) -> Result<Any, ConditionError> {
        if depth > MAX_DEPTH {
            return self.error(at, "this is nested too deeply; write it more simply");
        }
        match &at.expr {
            Expr::Ident(name) => match Name::parse(name) {
                Some(Name::Text(name)) => Ok(Any::Text(Text::Of(name))),
                Some(Name::Number(name)) => Ok(Any::Number(Number::Of(name))),
                Some(Name::IsTest) => Ok(Any::Test(Test::Marked)),
                None if name == "fields" => self.error(at, "name a field, as in fields.userid"),
                None => {
                    let remedy = match Name::nearest(name) {
                        Some("fields") => "; did you mean fields.NAME?".into(),
                        Some(nearest) => format!("; did you mean {nearest}?"),
                        None => format!("; a custom field is written fields.{name}, and a text in quotes"),
                    };
                    self.error(at, format!("there is no {name}{remedy}"))
                }
            },
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(operand) if operand == "fields" && select.test => {
                    Ok(Any::Test(Test::HasField(select.field.clone())))
                }
                Expr::Ident(operand) if operand == "fields" => {
                    Ok(Any::Text(Text::Of(TextName::Field(select.field.clone()))))
                }
                _ => self.error(at, "only fields has members, as in fields.userid"),
            },
            Expr::Literal(value) => self.literal(at, value),
            Expr::Call(call) => self.call(at, call, depth + 1),
            Expr::List(_) => self.error(at, "a list stands only after in, as in country in [\"DE\", \"AT\"]"),
            Expr::Comprehension(_) => {
                self.error(at, "loops (all, exists, map, filter) are not supported; write their cases out")
            }
            Expr::Map(_) | Expr::Struct(_) => {
                self.error(at, "write names without braces, as in payout >= 10")
            }
            Expr::Unspecified => self.error(at, "this is not understood"),
        }
    }

    fn literal(&self, at: &IdedExpr, value: &LiteralValue) -> Result<Any, ConditionError> {
        let is_negative = match value {
            LiteralValue::Boolean(value) => return Ok(Any::Test(Test::Constant(*value.inner()))),
            LiteralValue::String(text) => return Ok(Any::Text(Text::Literal(text.inner().to_owned()))),
            LiteralValue::Int(number) => *number.inner() < 0,
            LiteralValue::UInt(_) => false,
            LiteralValue::Double(number) => number.inner().is_sign_negative(),
            LiteralValue::Null => {
                return self.error(at, "nothing is null; an unknown text is \"\", an unknown sum 0");
            }
            LiteralValue::Bytes(_) => return self.error(at, "write a text without b before its quotes"),
        };
        // As it was written: through a binary fraction it would not stay exact.
        let written = self.info.offset_for(at.id).and_then(|(start, stop)| {
            let text: String = self.characters.get(start as usize..=stop as usize)?.iter().collect();
            let digits = text.trim_start_matches('-').trim_end_matches(['u', 'U']);
            Decimal::from_str(digits).or_else(|_| Decimal::from_scientific(digits)).ok()
        });
        match written {
            Some(number) => Ok(Any::Number(Number::Literal(if is_negative { -number } else { number }))),
            None => self.error(at, "write a number of at most 28 digits, such as 10 or 2.5"),
        }
    }

    fn call(&self, at: &IdedExpr, call: &CallExpr, depth: usize) -> Result<Any, ConditionError> {
        let arguments: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        match (call.func_name.as_str(), arguments.as_slice()) {
            (name @ ("_&&_" | "_||_"), parts) => {
                let mut tests = Vec::new();
                for part in parts {
                    // One list however it was bracketed by the parser.
                    match (self.test(part, depth)?, name) {
                        (Test::All(inner), "_&&_") | (Test::Any(inner), "_||_") => tests.extend(inner),
                        (other, _) => tests.push(other),
                    }
                }
                Ok(Any::Test(if name == "_&&_" { Test::All(tests) } else { Test::Any(tests) }))
            }
            ("!_", [test]) => Ok(Any::Test(Test::Not(Box::new(self.test(test, depth)?)))),
            ("-_", [number]) => Ok(Any::Number(Number::Minus(Box::new(self.number(number, depth)?)))),
            ("@in", [item, list]) => self.membership(at, item, list, depth).map(Any::Test),
            ("_[_]", [operand, name]) => match (&operand.expr, &name.expr) {
                (Expr::Ident(fields), Expr::Literal(LiteralValue::String(name))) if fields == "fields" => {
                    Ok(Any::Text(Text::Of(TextName::Field(name.inner().to_owned()))))
                }
                _ => self.error(at, "only fields has members, as in fields[\"user id\"]"),
            },
            (name, [left, right]) if comparison(name).is_some() => {
                let comparison = comparison(name).unwrap_or(Comparison::Equal);
                self.comparison(at, left, comparison, right, depth).map(Any::Test)
            }
            (name, [left, right]) if calculation(name).is_some() => {
                let calculation = calculation(name).unwrap_or(Calculation::Add);
                let (left, right) = (self.number(left, depth)?, self.number(right, depth)?);
                Ok(Any::Number(Number::Calculated(Box::new(left), calculation, Box::new(right))))
            }
            ("contains", [text, part]) => self.search(text, Search::Contains, part, depth),
            ("startsWith", [text, part]) => self.search(text, Search::StartsWith, part, depth),
            ("endsWith", [text, part]) => self.search(text, Search::EndsWith, part, depth),
            ("lowerAscii", [text]) => Ok(Any::Text(Text::Lower(Box::new(self.text(text, depth)?)))),
            ("upperAscii", [text]) => Ok(Any::Text(Text::Upper(Box::new(self.text(text, depth)?)))),
            ("size", [text]) => Ok(Any::Number(Number::Size(self.text(text, depth)?))),
            ("double" | "int", [text]) => Ok(Any::Number(Number::Written(self.text(text, depth)?))),
            ("_?_:_", _) => self.error(at, "write && and || for ? and :"),
            (name, _) => {
                let name = name.trim_matches(['_', '@']);
                let known = "contains, startsWith, endsWith, lowerAscii, upperAscii, size, double and has";
                self.error(at, format!("{name} cannot be used this way; there are {known}"))
            }
        }
    }

    fn comparison(
        &self,
        at: &IdedExpr,
        left_at: &IdedExpr,
        comparison: Comparison,
        right_at: &IdedExpr,
        depth: usize,
    ) -> Result<Test, ConditionError> {
        let same = |test: Test| match comparison {
            Comparison::Equal => Some(test),
            Comparison::Unequal => Some(Test::Not(Box::new(test))),
            _ => None,
        };
        match (self.any(left_at, depth)?, self.any(right_at, depth)?) {
            (Any::Number(left), Any::Number(right)) => Ok(Test::Numbers(left, comparison, right)),
            (Any::Text(left), Any::Text(right)) => {
                self.check_words(at, &left, &right)?;
                self.check_words(at, &right, &left)?;
                let remedy =
                    format!("texts have no order; compare them with == or !=, or as numbers: double({left})");
                same(Test::SameText(left, right)).map_or_else(|| self.error(at, remedy), Ok)
            }
            (Any::Test(left), Any::Test(right)) => {
                let test = same(Test::Same(Box::new(left), Box::new(right)));
                test.map_or_else(|| self.error(at, "compare true and false with == or !="), Ok)
            }
            (Any::Text(text), Any::Number(_)) | (Any::Number(_), Any::Text(text)) => {
                let remedy = match &text {
                    Text::Literal(literal) => format!("write {literal} without its quotes"),
                    text => format!("write double({text}), or the number in quotes"),
                };
                self.error(at, format!("{text} is a text and cannot be compared with a number; {remedy}"))
            }
            (left, right) => {
                self.error(at, format!("{} cannot be compared with {}", left.kind(), right.kind()))
            }
        }
    }

    fn membership(
        &self,
        at: &IdedExpr,
        item_at: &IdedExpr,
        list_at: &IdedExpr,
        depth: usize,
    ) -> Result<Test, ConditionError> {
        let Expr::List(list) = &list_at.expr else {
            return self.error(at, "write a list after in, as in country in [\"DE\", \"AT\"]");
        };
        match self.any(item_at, depth)? {
            Any::Text(item) => {
                let mut texts = Vec::with_capacity(list.elements.len());
                for at in &list.elements {
                    let text = self.text(at, depth)?;
                    self.check_words(at, &item, &text)?;
                    texts.push(text);
                }
                Ok(Test::TextIn(item, texts))
            }
            Any::Number(item) => {
                let numbers = list.elements.iter().map(|number| self.number(number, depth));
                Ok(Test::NumberIn(item, numbers.collect::<Result<_, _>>()?))
            }
            Any::Test(_) => self.error(at, "only a text or a number can be in a list"),
        }
    }

    fn check_words(&self, at: &IdedExpr, text: &Text, other: &Text) -> Result<(), ConditionError> {
        match (text, other) {
            (Text::Of(name), Text::Literal(literal)) => {
                name.never_is(literal).map_or(Ok(()), |message| self.error(at, message))
            }
            _ => Ok(()),
        }
    }

    fn search(
        &self,
        text: &IdedExpr,
        search: Search,
        part: &IdedExpr,
        depth: usize,
    ) -> Result<Any, ConditionError> {
        Ok(Any::Test(Test::Search(self.text(text, depth)?, search, self.text(part, depth)?)))
    }

    fn test(&self, at: &IdedExpr, depth: usize) -> Result<Test, ConditionError> {
        match self.any(at, depth)? {
            Any::Test(test) => Ok(test),
            other => self
                .error(at, format!("this is {} and no test; compare it, as in payout >= 10", other.kind())),
        }
    }

    fn number(&self, at: &IdedExpr, depth: usize) -> Result<Number, ConditionError> {
        match self.any(at, depth)? {
            Any::Number(number) => Ok(number),
            Any::Text(Text::Of(name)) => {
                self.error(at, format!("{name} is a text; as a number it is double({name})"))
            }
            other => self.error(at, format!("a number belongs here, and this is {}", other.kind())),
        }
    }

    fn text(&self, at: &IdedExpr, depth: usize) -> Result<Text, ConditionError> {
        match self.any(at, depth)? {
            Any::Text(text) => Ok(text),
            other => {
                self.error(at, format!("a text belongs here, such as \"DE\", and this is {}", other.kind()))
            }
        }
    }
}

fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        "_==_" => Comparison::Equal,
        "_!=_" => Comparison::Unequal,
        "_<_" => Comparison::Less,
        "_<=_" => Comparison::LessOrEqual,
        "_>_" => Comparison::More,
        "_>=_" => Comparison::MoreOrEqual,
        _ => return None,
    })
}

fn calculation(operator: &str) -> Option<Calculation> {
    Some(match operator {
        "_+_" => Calculation::Add,
        "_-_" => Calculation::Subtract,
        "_*_" => Calculation::Multiply,
        "_/_" => Calculation::Divide,
        "_%_" => Calculation::Remainder,
        _ => return None,
    })
}
