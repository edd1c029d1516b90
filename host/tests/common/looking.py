"""What a function can do to a path, for functions that tell what they see."""


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__


def write(path):
    try:
        open(path, "w").close()
        return True
    except OSError:
        return False
