/// Declares messages as tables: every field with its type and its Protobuf number.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty = $number:literal $($rule:ident)?,)*
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }
    )+};
}

/// Declares an envelope's bodies, of which one is there: each with its message, Protobuf number and JSON key.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident($message:ty) = $number:literal $key:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, PartialEq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant($message),)+
        }
    };
}
