fn main() {
    print!("{}", ricochet::graphql::sdl());
}
