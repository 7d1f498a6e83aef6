"""Checks what the compiler does not: the layering and the house rules of every file.

- A room (a folder of src/ that CMakeLists.txt declares with ingot_room) includes only from itself and
  from the rooms that it SEES, directly or through them.
- A file of more than 600 lines says why ("600 lines") in the comment at its top.
- Each source begins with a comment that says what it is; each header has #pragma once (but
  for Highway's -inl.h) and no `using namespace`.
- No file holds the absolute path of somebody's home.

usage: check.py [ROOT]; prints one line for each fault, exit status 1 where there is one.
"""

import pathlib
import re
import sys

MOST_LINES = 600
SKIPPED_FOLDERS = re.compile(r"^(build.*|\.git|\.deps|\.venv.*|\.cache|runs|__pycache__)$")
SKIPPED_PATHS = {"tests/data", "bench/results"}
CPP = {".cc", ".h"}
SCRIPTS = {".py", ".sh", ".cmake", ".yaml", ".yml"}
TEXT = CPP | SCRIPTS | {".md", ".txt", ".json", ".toml", ".cfg", ""}
# Tests may name the home of a made-up ada.
HOME = re.compile(r"(?<![\w./])/(?:home/(?!ada\b)[a-z_][\w.-]*|root|Users/\w+)(?=[/\s\"'`:)]|$)")
INCLUDE = re.compile(r'^\s*#\s*include\s+"((?:ingot|backends)/[^"]+)"')
PLUGIN = re.compile(r"^\s*ingot_transport\((\w+) ", re.MULTILINE)
QUOTED = re.compile(r'"[^"]*"')  # expressions, whose brackets end no call
ROOM = re.compile(r"^\s*ingot_room\(([^)]*)\)", re.MULTILINE)


def read_rooms(cmake_text, transports_text=""):
    """{room: (folder below src, rooms it sees directly)}, in the order of the file."""
    rooms = {}
    for call in ROOM.finditer(QUOTED.sub('""', cmake_text)):
        words = call.group(1).split()
        name, sees, folder, into = words[0], [], f"ingot/{words[0]}", None
        for word in words[1:]:
            if word.isupper():
                into = word
            elif into == "SEES":
                sees.append(word)
            elif into == "FOLDER":
                folder = word
        rooms[name] = (folder, sees)
    # Plugins implement an interface of room dist, and see no more than it does.
    for name in PLUGIN.findall(transports_text):
        rooms[f"transport {name}"] = (f"transports/{name}", ["dist"])
    return rooms


def visible_rooms(rooms):
    """({room: all rooms it may include from}, faults); a room may see earlier ones only."""
    visible, faults = {}, []
    for name, (_, sees) in rooms.items():
        visible[name] = {name}
        for below in sees:
            if below in visible:
                visible[name] |= visible[below]
            else:
                faults.append(f"CMakeLists.txt: room {name} sees {below}, which is not declared before it")
    return visible, faults


def room_of(path_below_src, rooms):
    for name, (folder, _) in rooms.items():
        if path_below_src.startswith(folder + "/"):
            return name
    return None


def check_includes(path, lines, rooms, visible):
    below = path.split("src/", 1)[1]
    room = room_of(below, rooms)
    if room is None:
        yield f"{path}: stands in no room that CMakeLists.txt declares"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match or match.group(1).endswith(".inc"):
            continue
        target = room_of(match.group(1), rooms)
        if target is None:
            yield f"{path}:{number}: {match.group(1)} belongs to no room"
        elif target not in visible[room]:
            seen = ", ".join(sorted(visible[room] - {room})) or "no other room"
            yield f"{path}:{number}: {room} must not include {match.group(1)}: it sees {seen}"


def top_comment(lines, suffix):
    """The comment at the top of a source (after a #! line); '' where there is none."""
    rest = lines[1:] if lines and lines[0].startswith("#!") else lines
    if suffix == ".py" and rest and rest[0].startswith(('"""', 'r"""')):
        text = "\n".join(rest)
        return text.split('"""', 2)[1]
    mark = "//" if suffix in CPP else "#"
    taken = []
    for line in rest:
        if not line.startswith(mark):
            break
        taken.append(line[len(mark):].strip())
    return "\n".join(taken)


def check_style(path, lines, suffix):
    comment = top_comment(lines, suffix)
    if not comment.strip():
        yield f"{path}:1: begins without a comment that says what the file is"
    if len(lines) > MOST_LINES and "600 lines" not in comment:
        yield f"{path}: has {len(lines)} lines, and its top does not say why it is over {MOST_LINES} lines"
    if suffix == ".h":
        # Highway includes an -inl.h once for each instruction set.
        if not path.endswith("-inl.h") and "#pragma once" not in map(str.strip, lines):
            yield f"{path}: has no #pragma once"
        for number, line in enumerate(lines, 1):
            if re.match(r"\s*using\s+namespace\b", line):
                yield f"{path}:{number}: 'using namespace' in a header"


def files_of(root):
    pending = [root]
    while pending:
        for entry in sorted(pending.pop().iterdir()):
            if entry.is_symlink():
                continue
            if entry.is_dir():
                below = entry.relative_to(root).as_posix()
                if not SKIPPED_FOLDERS.match(entry.name) and below not in SKIPPED_PATHS:
                    pending.append(entry)
            elif entry.suffix in TEXT:
                yield entry


def check(root):
    """All faults of the tree, one line each."""
    plugins = root / "cmake" / "transports.cmake"
    rooms = read_rooms((root / "CMakeLists.txt").read_text(),
                       plugins.read_text() if plugins.exists() else "")
    visible, faults = visible_rooms(rooms)
    if not rooms:
        faults.append("CMakeLists.txt: declares no room")
    for file in files_of(root):
        path = file.relative_to(root).as_posix()
        try:
            lines = file.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            if HOME.search(line):
                faults.append(f"{path}:{number}: an absolute path of somebody's home")
        if file.suffix in CPP | SCRIPTS or file.name in ("dev", "run", "CMakeLists.txt"):
            faults += check_style(path, lines, file.suffix)
        if file.suffix in CPP and path.startswith("src/"):
            faults += check_includes(path, lines, rooms, visible)
    return faults


if __name__ == "__main__":
    tree = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2]
    found = check(tree)
    print("\n".join(found) if found else "architecture: every file keeps the rules")
    sys.exit(1 if found else 0)
