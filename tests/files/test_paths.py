"""Which literals of a cell are taken for paths of files that it reads."""

from __future__ import annotations

import pytest

from jupyter_ext.paths import literal_paths

READ = {
    "open('data/train.csv')": ["data/train.csv"],
    "open('README')": ["README"],
    "with open('notes.txt', 'r') as f: f.read()": ["notes.txt"],
    "with open('notes.txt', encoding='utf-8') as f: pass": ["notes.txt"],
    "open('model.bin', 'rb').read()": ["model.bin"],
    "df = pd.read_csv('train.csv', sep='/')": ["train.csv"],
    "df = pd.read_csv(filepath_or_buffer='train')": ["train"],
    "pd.read_parquet('data/part-0')": ["data/part-0"],
    "a, b = np.load('a.npy'), np.load('b.npy')": ["a.npy", "b.npy"],
    "torch.load('weights/best', map_location='cpu')": ["weights/best"],
    "plt.imread('cat.png')": ["cat.png"],
    "Path('data').iterdir()": ["data"],
    "p = Path('data') / 'raw' / 'x.csv'\npd.read_csv(p)": ["data/raw/x.csv"],
    "os.path.join('data', 'x.csv')": ["data/x.csv"],
    "Path('notes.txt').read_text()": ["notes.txt"],
    "Path('notes.txt').open()": ["notes.txt"],
    "TRAIN = 'data/train.csv'\n": ["data/train.csv"],
    "files = ['a.csv', 'b/c.csv']": ["a.csv", "b/c.csv"],
    "cfg = {'path': 'conf/run.yaml', 'lr': 0.1}": ["conf/run.yaml"],
    "def f(path='data/x.bin'): return path": ["data/x.bin"],
    "read(r'data/x.csv')": ["data/x.csv"],
    "open(f'data/x.csv')": ["data/x.csv"],
    "open('~/data/x.csv')": ["~/data/x.csv"],
    "open('/mnt/data/x.csv')": ["/mnt/data/x.csv"],
    "open('../x.csv')": ["../x.csv"],
    "os.listdir('images')": ["images"],
    "ImageFolder(root='images')": ["images"],
    "load('x.csv'); load('x.csv')": ["x.csv"],
    "async def f():\n    return await fetch('in/x.json')": ["in/x.json"],
    "!head -n 3 data/train.csv > head.txt": ["data/train.csv"],
    "%run scripts/prepare.py --fast": ["scripts/prepare.py"],
    "#%%gpu\nopen('x.csv')": ["x.csv"],
    "json.load(open('conf.json'))": ["conf.json"],
    "h5py.File('x.h5', 'r')": ["x.h5"],
    "print(open('x.csv').read())": ["x.csv"],
    "if name != 'a.csv': open('b.csv')": ["b.csv"],
    "open('Ünï cödé.csv')": ["Ünï cödé.csv"],
}

NOT_READ = [
    "x = 1",
    "'just a comment: data/x.csv'",
    "'''A docstring about data/x.csv'''",
    "# open('data/x.csv')",
    "requests.get('https://example.org/data/x.csv')",
    "pd.read_csv('s3://bucket/x.csv')",
    "pd.read_csv('https://example.org/x.csv')",
    "re.compile(r'\\d+\\.csv')",
    "re.match('data/x.csv', name)",
    "pattern = r'^\\w+/\\w+\\.csv$'",
    "open(f'data/{i}.csv')",
    "open('data/{}.csv'.format(i))",
    "open('data/%s.csv' % i)",
    "open('data/' + name + '.csv')",
    "name + '.csv'",
    "Path(root) / 'x.csv'",
    "os.path.join(root, 'x.csv')",
    "glob.glob('data/*.csv')",
    "Path('.')",
    "open('.')",
    "'/'.join(parts)",
    "name.split('/')",
    "a = '/'",
    "a = '.'",
    "a = './'",
    "x = 'two words'",
    "x = 'a sentence. And more'",
    "open('out/result.csv', 'w')",
    "open('out/result.csv', mode='ab')",
    "Path('out/result.csv').write_text('done')",
    "Path('out/result.csv').open('w')",
    "df.to_csv('out/result.csv')",
    "np.save('out/x.npy', x)",
    "torch.save(model, 'out/best.pt')",
    "plt.savefig('plot.png')",
    "os.makedirs('out/plots')",
    "zipfile.ZipFile('out.zip', 'w')",
    "print('see data/x.csv')",
    "df.to_csv('x.csv')\npd.read_csv('x.csv')",
    "if not os.path.exists('x.csv'): download()",
    "df['file.name']",
    "if kind == 'image/png': pass",
    "time.strftime('%Y/%m/%d')",
    "open('a' * 5000 + '/x.csv')",
    "open('x\\0/y.csv')",
    "3.14, 'v1.2'",
    "def broken(:",
    "!pip install -r",
    "!ls > out/listing.txt",
]


@pytest.mark.parametrize("cell", READ)
def test_what_a_cell_reads(cell: str) -> None:
    assert list(literal_paths(cell)) == READ[cell]


@pytest.mark.parametrize("cell", NOT_READ)
def test_what_is_no_path_of_a_file_that_is_read(cell: str) -> None:
    assert literal_paths(cell) == ()
