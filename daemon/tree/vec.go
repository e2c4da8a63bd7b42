package tree

// vec is a list in chunks: growing it never copies what it holds, so that no single
// step pays for a long list. T should hold no pointer.
type vec[T any] struct {
	chunks []*[vecChunk]T
	block  [][vecChunk]T // for the next chunks
	n      int
}

const (
	vecChunk = 1024
	vecSpare = 64 // chunks that an emptied list keeps
)

func (v *vec[T]) len() int { return v.n }

func (v *vec[T]) at(i int) *T { return &v.chunks[uint(i)/vecChunk][uint(i)%vecChunk] }

func (v *vec[T]) push(e T) {
	if v.n == len(v.chunks)*vecChunk {
		if len(v.block) == 0 {
			v.block = make([][vecChunk]T, blockOf(len(v.chunks)))
		}
		v.chunks = append(v.chunks, &v.block[0])
		v.block = v.block[1:]
	}
	*v.at(v.n) = e
	v.n++
}

func (v *vec[T]) pop() T {
	v.n--
	return *v.at(v.n)
}

// clear empties the list and keeps some of its memory.
func (v *vec[T]) clear() {
	v.n = 0
	if len(v.chunks) > vecSpare {
		v.chunks = append([]*[vecChunk]T(nil), v.chunks[:vecSpare]...)
		v.block = nil
	}
}
