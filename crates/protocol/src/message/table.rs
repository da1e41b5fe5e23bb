/// Declares messages as tables, from which the struct and both codecs are made.
///
/// A field is `pub name: Type = N`, where `N` is its Protobuf number; the name is its JSON key too. After the
/// number may stand a text (another JSON key), `always` (written in JSON even when it is zero) or `zigzag` (an
/// `i64` that Protobuf sends as `sint64`). The doc comments go into the struct and into its [`Shape`].
///
/// [`Shape`]: crate::codec::shape::Shape
macro_rules! message {
    ($(
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $($(#[doc = $field_doc:literal])* pub $field:ident: $type:ty = $number:literal $($key:literal)? $($rule:ident)?,)*
        }
    )+) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        impl crate::codec::field::Message for $name {
            const SHAPE: &'static crate::codec::shape::Shape = &crate::codec::shape::Shape {
                name: stringify!($name),
                doc: &[$($doc),*],
                members: &[$(crate::codec::shape::Member {
                    key: message!(@key $field $($key)?),
                    doc: &[$($field_doc),*],
                    always: message!(@always $($rule)?),
                    kind: <$type as crate::codec::field::Field>::kind,
                },)*],
            };

            fn write_members(&self, _object: &mut crate::codec::json::Object<'_>) {
                $(if message!(@is_written self.$field $($rule)?) {
                    _object.member(
                        concat!("\"", message!(@key $field $($key)?), "\":"),
                        |out| crate::codec::field::Field::write(&self.$field, out),
                    );
                })*
            }

            fn read_member(
                &mut self,
                key: &str,
                reader: &mut crate::codec::json::Reader<'_>,
            ) -> Result<(), crate::DecodeError> {
                match key {
                    $(message!(@key $field $($key)?) => {
                        crate::codec::field::Field::read(&mut self.$field, reader)
                    })*
                    _ => reader.skip(),
                }
            }

            fn fields_len(&self) -> usize {
                0 $(+ if crate::codec::field::Field::is_zero(&self.$field) {
                    0
                } else {
                    crate::codec::field::Field::field_len(&message!(@sent self.$field $($rule)?), $number)
                })*
            }

            fn put_fields(&self, _out: &mut bytes::BytesMut) {
                $(if !crate::codec::field::Field::is_zero(&self.$field) {
                    crate::codec::field::Field::put_field(&message!(@sent self.$field $($rule)?), $number, _out);
                })*
            }

            fn take_field(
                &mut self,
                number: u32,
                _value: crate::codec::protobuf::WireValue<'_>,
            ) -> Result<(), crate::DecodeError> {
                match number {
                    $($number => message!(@take self.$field, _value $($rule)?),)*
                    _ => Ok(()),
                }
            }
        }
    )+};

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };

    (@always always) => { true };
    (@always $($rule:ident)?) => { false };

    (@is_written $self:ident.$field:ident always) => { true };
    (@is_written $self:ident.$field:ident $($rule:ident)?) => {
        !crate::codec::field::Field::is_zero(&$self.$field)
    };

    (@sent $self:ident.$field:ident zigzag) => { crate::codec::value::zigzag($self.$field) };
    (@sent $self:ident.$field:ident $($rule:ident)?) => { $self.$field };

    (@take $self:ident.$field:ident, $value:ident zigzag) => {
        $value.varint().map(|number| $self.$field = crate::codec::value::unzigzag(number))
    };
    (@take $self:ident.$field:ident, $value:ident $($rule:ident)?) => {
        crate::codec::field::Field::merge(&mut $self.$field, $value)
    };
}

/// Declares the bodies of an envelope, of which one is there: each with its message, Protobuf number and JSON key.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident {
            $($(#[doc = $variant_doc:literal])* $variant:ident($message:ty) = $number:literal $key:literal,)+
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum $name {
            $($(#[doc = $variant_doc])* $variant($message),)+
        }

        impl $name {
            /// Its name on the wire, for logs and metrics.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $key,)+
                }
            }
        }

        $(impl From<$message> for $name {
            fn from(message: $message) -> Self {
                Self::$variant(message)
            }
        })+

        impl crate::codec::field::Choice for $name {
            const SHAPES: &'static [crate::codec::shape::Alternative] = &[$(crate::codec::shape::Alternative {
                key: $key,
                doc: &[$($variant_doc),*],
                shape: <$message as crate::codec::field::Message>::SHAPE,
            },)+];

            fn read_member(
                key: &str,
                reader: &mut crate::codec::json::Reader<'_>,
            ) -> Result<Option<Self>, crate::DecodeError> {
                match key {
                    $($key => crate::codec::field::Value::read_json(reader).map(Self::$variant).map(Some),)+
                    _ => Ok(None),
                }
            }

            fn write_member(&self, object: &mut crate::codec::json::Object<'_>) {
                match self {
                    $(Self::$variant(message) => object.member(
                        concat!("\"", $key, "\":"),
                        |out| crate::codec::field::Value::write_json(message, out),
                    ),)+
                }
            }

            fn write_value(&self, out: &mut bytes::BytesMut) {
                match self {
                    $(Self::$variant(message) => crate::codec::field::Value::write_json(message, out),)+
                }
            }

            fn from_field(
                number: u32,
                value: crate::codec::protobuf::WireValue<'_>,
            ) -> Result<Option<Self>, crate::DecodeError> {
                match number {
                    $($number => crate::codec::field::Value::from_wire(value).map(Self::$variant).map(Some),)+
                    _ => Ok(None),
                }
            }

            fn field_len(&self) -> usize {
                match self {
                    $(Self::$variant(message) => crate::codec::field::Field::field_len(message, $number),)+
                }
            }

            fn put_field(&self, out: &mut bytes::BytesMut) {
                match self {
                    $(Self::$variant(message) => crate::codec::field::Field::put_field(message, $number, out),)+
                }
            }
        }
    };
}

pub(crate) use {choice, message};
