//! Keys as the terminal tells them, for the model.

use ratatui::crossterm::event::{Event as Told, KeyCode, KeyEventKind, KeyModifiers};
use session_store::picker::{Event, Key};

/// What an event of the terminal means; nothing for those that only have the screen drawn again.
pub(super) fn read(told: &Told) -> Option<Event> {
    match told {
        Told::Key(key) if key.kind == KeyEventKind::Release => None,
        Told::Key(key) => self::key(key.code, key.modifiers).map(Event::Key),
        Told::Paste(text) => Some(Event::Paste(text.clone())),
        _ => None,
    }
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        KeyCode::Char(c) if modifiers.contains(KeyModifiers::CONTROL) => Key::Control(c.to_ascii_lowercase()),
        KeyCode::Char(_) if modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::F(number) => Key::Function(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn letters_are_typed_and_commands_are_not() {
        let told = |code, modifiers| read(&Told::Key(KeyEvent::new(code, modifiers)));
        assert_eq!(told(KeyCode::Char('R'), KeyModifiers::SHIFT), Some(Event::Key(Key::Char('R'))));
        assert_eq!(told(KeyCode::Char('r'), KeyModifiers::CONTROL), Some(Event::Key(Key::Control('r'))));
        assert_eq!(told(KeyCode::Char('r'), KeyModifiers::ALT), None);
        assert_eq!(read(&Told::Resize(80, 24)), None);
    }
}
