def parse(text):
    """'num_classes': 4"""
    return eval('{' + text + '}')
